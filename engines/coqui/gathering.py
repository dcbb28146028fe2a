"""What several threads ask for at the same time, computed in one call.

The first of them that finds the model free takes what waits along; the others find their results made. So a batch is
as large as there is demand for it, nobody waits for it to fill, and the model has one caller at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from schemas.errors import ErrorCode, SpeechError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gathering(Generic[Item, Result]):
    """A function of one item, made of a function of many; called from as many threads as there are workers.

    Args:
        compute: Takes items of one bucket, returns a result for each, in order.
        bucket: Only items of equal buckets are computed together.
        max_batch: Items a call takes at most.
        model_lock: Held while computing. Functions of one model share it.
        out_of_memory: What ``compute`` raises for a batch that is too large; half of it is tried then.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        bucket: Callable[[Item], Hashable],
        max_batch: int,
        model_lock: threading.Lock,
        out_of_memory: type[Exception] = MemoryError,
    ) -> None:
        self._compute = compute
        self._bucket = bucket
        self._max_batch = max_batch
        self._model_lock = model_lock
        self._out_of_memory = out_of_memory
        self._waiting: list[_Asked[Item, Result]] = []
        self._waiting_lock = threading.Lock()

    def __call__(self, item: Item) -> Result:
        """The result for an item.

        Raises:
            SpeechError: ``overloaded`` if the item alone takes more memory than there is.
        """
        asked = _Asked[Item, Result](item, self._bucket(item))
        with self._waiting_lock:
            self._waiting.append(asked)
        with self._model_lock:
            if not asked.answered:
                batch = self._with_others(asked)
                try:
                    self._answer(batch)
                except Exception as error:  # noqa: BLE001 (each of them raises it, in its own thread)
                    for each in batch:
                        each.error = None if each.answered else error
        if asked.error is not None:
            raise asked.error
        return asked.results[0]

    def _with_others(self, asked: _Asked[Item, Result]) -> list[_Asked[Item, Result]]:
        """This and others that wait and can be computed with it; they wait no longer."""
        with self._waiting_lock:
            others = [each for each in self._waiting if each is not asked and each.bucket == asked.bucket]
            batch = [asked, *others[: self._max_batch - 1]]
            self._waiting = [each for each in self._waiting if all(each is not one for one in batch)]
        return batch

    def _answer(self, batch: Sequence[_Asked[Item, Result]]) -> None:
        try:
            results = self._compute([asked.item for asked in batch])
        except self._out_of_memory:
            half = len(batch) // 2
            if not half:
                raise SpeechError(
                    ErrorCode.OVERLOADED,
                    "The device has too little memory for this. Try again later.",
                    retry_after_s=1.0,
                ) from None
            self._answer(batch[:half])
            self._answer(batch[half:])
            return
        for asked, result in zip(batch, results, strict=True):
            asked.results.append(result)


class _Asked(Generic[Item, Result]):
    def __init__(self, item: Item, bucket: Hashable) -> None:
        self.item = item
        self.bucket = bucket
        self.results: list[Result] = []
        """One, once it is computed."""
        self.error: Exception | None = None

    @property
    def answered(self) -> bool:
        return bool(self.results) or self.error is not None
