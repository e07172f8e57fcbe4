"""``harness finetune``: every size of a family on growing shares of labelled texts.

``examples``   what a task asks and calls right, as labelled examples; shares of them
``encoding``   examples as token ids and labels
``starting``   the checkpoint that training starts from, and the methods that suit it
``methods``    full, LoRA, AdaLoRA, IA³, prefix and head-only training
``costs``      floating-point operations, memory and time, before a cell starts
``measuring``  the validation score, the best weights, when to stop
``training``   one cell, by transformers' ``Trainer``
``saving``     the finished checkpoint and what is said of it, whole or not at all
``job``        the sweep
"""
