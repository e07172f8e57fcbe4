"""``harness finetune``: every size of a family on growing shares of labelled texts.

``examples``   what a task asks and calls right, as labelled examples; shares of them
``encoding``   examples as token ids and labels
``starting``   the checkpoint that training starts from, and the methods that suit it
``methods``    full, LoRA, AdaLoRA, IA³, prefix and head-only training
``costs``      floating-point operations, memory and time, before a cell starts
``measuring``  the validation score
``course``     the best weights so far, when to stop
``training``   one cell, by transformers' ``Trainer``
``saving``     the finished checkpoint, whole or not at all
``recording``  what is said of a finished cell
``ready``      a cell's share of the texts, encoded for its model
``estimating`` what a cell will cost
``job``        the sweep
"""
