"""A second device for machines that have none: tensors that say ``cuda:0`` or ``mps:0`` and are
computed on the CPU.

What torch refuses of tensors on different devices is refused, what makes the host wait for the
device is counted, and memory can run out at a chosen operation. Kernels are the CPU's: this finds
tensors on the wrong device and needless waiting, not a kernel that computes wrongly or slowly.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

CPU = torch.device("cpu")
MIXED = "Expected all tensors to be on the same device, but found at least two devices"
NO_DOUBLES = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it"
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
"""Operations whose indices may lie on the CPU."""
COPIES = {"copy_", "_to_copy", "to", "_has_compatible_shallow_copy_type"}
SIZED = {"nonzero", "masked_select", "_unique2", "unique_dim", "equal", "is_nonzero"}
"""Operations whose result the host needs before it can go on."""

READ = {getattr(torch.Tensor, name) for name in ("tolist", "item", "__float__", "__int__")}
READ |= {torch.Tensor.__bool__, torch.Tensor.__index__}
"""Methods that give the host numbers."""


class OnDevice(torch.Tensor):
    """A tensor of the simulated device; ``held`` are its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor, device: torch.device) -> OnDevice:
        made: OnDevice = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=device,
        )
        made.held = held
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__invert__:  # it looks for the device that is not there
            return torch.bitwise_not(args[0])
        if func is torch.Tensor.contiguous:
            whole = args[0].is_contiguous()
            return args[0] if whole else args[0].clone(memory_format=torch.contiguous_format)
        if func is torch.Tensor.numpy or func is torch.Tensor.__array__:
            raise TypeError(f"can't convert {args[0].device} device type tensor to numpy.")
        if func in READ:
            return func(args[0].cpu(), *args[1:])
        if func is torch.Tensor.__getitem__:
            return _current().indexed(*args)
        if func is torch.Tensor.__setitem__:
            return _current().put(*args)
        if func is torch.Tensor.data.__set__:  # type: ignore[attr-defined]
            args[0].held = args[1].held
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} on the simulated device, which is switched off")


class Device(TorchDispatchMode):
    """The simulated device, while it is entered.

    ``calls`` counts operations on it, ``waits`` what makes the host wait: copies either way and
    what the host must know to go on. ``fails`` raises that error at the operations numbered so.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.device = torch.device(name)
        self.calls: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.most_rows: int | None = None
        self.error: BaseException = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        self.failed = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        given = _arguments(func, args, kwargs)
        flat = [t for value in given.values() for t in _tensors(value)]
        here = [t for t in flat if isinstance(t, OnDevice)]
        asked = given.get("device")
        asked = None if asked is None else torch.device(asked)
        if not here and (asked is None or asked.type != self.device.type):
            return func(*args, **kwargs)
        target = self._target(name, given, asked, bool(here))
        self._check(name, given, flat, target)
        self._count(name, given, here, target)
        return self._compute(func, args, kwargs, target)

    def moved(self, held: torch.Tensor) -> OnDevice:
        """A tensor of the CPU, copied here."""
        if self.device.type == "mps" and held.dtype == torch.float64:
            raise TypeError(NO_DOUBLES)
        self.waits["to device"] += 1
        return OnDevice(held, self.device)

    def indexed(self, tensor: torch.Tensor, index: Any) -> torch.Tensor:
        """``tensor[index]``, which torch does with a guard of the device that is not there."""
        self._index(tensor, index)
        found = _held(tensor)[_held(index)]
        return OnDevice(found, self.device) if isinstance(tensor, OnDevice) else found

    def put(self, tensor: torch.Tensor, index: Any, value: Any) -> None:
        """``tensor[index] = value``: a value from elsewhere is copied."""
        self._index(tensor, index)
        if isinstance(value, torch.Tensor) and isinstance(value, OnDevice) != isinstance(
            tensor, OnDevice
        ):
            if _tensors(index) and value.dim():
                raise RuntimeError(f"{MIXED}, {self.device} and cpu! (index_put_)")
            self.waits["to device" if isinstance(tensor, OnDevice) else "to host"] += 1
        _held(tensor)[_held(index)] = _held(value)

    def _index(self, tensor: torch.Tensor, index: Any) -> None:
        self.calls["index"] += 1
        for one in _tensors(index):
            if isinstance(one, OnDevice) and not isinstance(tensor, OnDevice):
                raise RuntimeError("indices should be either on cpu or on the same device")
            if one.dtype in (torch.bool, torch.uint8):
                self.waits["boolean index"] += 1
            if one.dim() == 0 or not isinstance(one, OnDevice):
                self.waits["index"] += 1

    def _target(
        self, name: str, given: dict[str, Any], asked: torch.device | None, here: bool
    ) -> torch.device:
        if name == "to" and isinstance(given.get("other"), torch.Tensor):
            return CPU if given["other"].device == CPU else self.device
        if name == "copy_":
            return self.device if isinstance(given["self"], OnDevice) else CPU
        if asked is None:
            return self.device if here else CPU
        return CPU if asked.type == "cpu" else self.device

    def _check(
        self, name: str, given: dict[str, Any], flat: list[torch.Tensor], target: torch.device
    ) -> None:
        if self.device.type == "mps" and target == self.device:
            wide = [t for t in flat if isinstance(t, OnDevice) and t.dtype == torch.float64]
            if given.get("dtype") == torch.float64 or wide or _is_wide(name, given):
                raise TypeError(NO_DOUBLES)
        if name in COPIES:
            return
        apart = [t for t in flat if not isinstance(t, OnDevice) and t.dim() > 0]
        if name in INDEXED and isinstance(given["self"], OnDevice):
            apart = [t for t in apart if all(t is not i for i in _tensors(given["indices"]))]
        if apart and any(isinstance(t, OnDevice) for t in flat):
            raise RuntimeError(f"{MIXED}, {self.device} and cpu! ({name})")
        if self.most_rows is not None and name in ("linear", "mm", "addmm", "bmm"):
            rows = flat[0].numel() // flat[0].shape[-1]
            if rows > self.most_rows:
                self.failed += 1
                raise self.error

    def _count(
        self, name: str, given: dict[str, Any], here: list[Any], target: torch.device
    ) -> None:
        self.calls[name] += 1
        source = given.get("src", given.get("self"))
        if name in COPIES and isinstance(source, torch.Tensor):
            if isinstance(source, OnDevice) != (target == self.device):
                self.waits["to host" if target == CPU else "to device"] += 1
        elif name in SIZED or name in ("_local_scalar_dense", "item"):
            self.waits[name] += 1
        elif name in INDEXED:
            self._index(given["self"], given["indices"])

    def _compute(self, func: Any, args: Any, kwargs: Any, target: torch.device) -> Any:
        wrappers: dict[int, OnDevice] = {}

        def inner(value: Any) -> Any:
            if isinstance(value, OnDevice):
                wrappers[id(value.held)] = value
                return value.held
            if isinstance(value, torch.device) or value == self.device.type:
                return CPU
            return value

        def outer(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            if id(value) in wrappers:
                return wrappers[id(value)]
            if target == CPU:
                return value
            # torch wants a view to be of inference where what it views is
            with torch.inference_mode(all(w.is_inference() for w in wrappers.values())):
                return OnDevice(value, self.device)

        name = func.overloadpacket.__name__
        args, kwargs = tree_map(inner, args), tree_map(inner, kwargs)
        found = func(*args, **kwargs)
        if name in ("to", "_to_copy") and any(found is a for a in args) and wrappers:
            moved = target == CPU
            return found.clone() if moved else wrappers[id(found)]
        if name in ("to", "_to_copy") and not wrappers:
            return OnDevice(found.clone(), self.device)
        return tree_map(outer, found)


def _current() -> Device:
    """The device that is entered."""
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    device = _get_current_dispatch_mode()
    assert isinstance(device, Device), "the simulated device is switched off"
    return device


def _held(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_held(part) for part in value)
    return value.held if isinstance(value, OnDevice) else value


def _is_wide(name: str, given: dict[str, Any]) -> bool:
    source = given.get("self")
    return name == "to" and isinstance(source, torch.Tensor) and source.dtype == torch.float64


def _arguments(func: Any, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    names = [a.name for a in func._schema.arguments]
    return dict(zip(names, args, strict=False)) | kwargs


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [t for part in value for t in _tensors(part)]
    return []


class _Moving(TorchFunctionMode):
    """``tensor.to(device)`` of a CPU tensor, for which torch wants the driver of the device."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.to and not isinstance(args[0], OnDevice):
            tensors = [isinstance(a, torch.Tensor) for a in args[1:]]
            if not any(tensors):
                where, dtype, *_ = torch._C._nn._parse_to(*args[1:], **kwargs)
                if where is not None and where.type == self.device.device.type:
                    return self.device.moved(args[0].detach().to(dtype or args[0].dtype).clone())
        return func(*args, **kwargs)


FREE, WHOLE, USED = 1 << 30, 4 << 30, 1 << 20
"""Bytes of the simulated device: left, in all, used by tensors."""


def _driver(kind: str) -> Iterator[tuple[Any, str, Any]]:
    """What ``torch.cuda`` and ``torch.mps`` say of a device that is there."""
    cuda, mps = torch.cuda, torch.mps
    properties = SimpleNamespace(total_memory=WHOLE, uuid="5f2c", major=9, minor=0)
    yield cuda, "_lazy_init", lambda: None
    yield cuda, "is_available", lambda: kind == "cuda"
    yield cuda, "device_count", lambda: int(kind == "cuda")
    yield torch.backends.mps, "is_available", lambda: kind == "mps"
    if kind == "cuda":
        yield cuda, "mem_get_info", lambda device=None: (FREE, WHOLE)
        yield cuda, "get_device_properties", lambda device=None: properties
        yield cuda, "get_device_capability", lambda device=None: (9, 0)
        yield cuda, "get_device_name", lambda device=None: "Simulated GPU"
        for key in ("memory_reserved", "memory_allocated", "max_memory_allocated"):
            yield cuda, key, lambda device=None: USED
        for key in ("reset_peak_memory_stats", "empty_cache", "synchronize"):
            yield cuda, key, lambda device=None: None
    if kind == "mps":
        yield mps, "recommended_max_memory", lambda: FREE + USED
        yield mps, "driver_allocated_memory", lambda: USED
        yield mps, "current_allocated_memory", lambda: USED
        for key in ("empty_cache", "synchronize"):
            yield mps, key, lambda: None


@contextlib.contextmanager
def simulated(name: str) -> Iterator[Device]:
    """A simulated device ``name`` of torch, ``cuda:0`` or ``mps``."""
    kind = name.partition(":")[0]
    before = torch._C._only_lift_cpu_tensors()
    with pytest.MonkeyPatch.context() as patch:
        for owner, key, value in _driver(kind):
            patch.setattr(owner, key, value, raising=False)
        # a module that moves gets new parameters, not new contents of the old ones
        patch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            with Device(name) as device, _Moving(device):
                yield device
        finally:
            torch._C._set_only_lift_cpu_tensors(before)
