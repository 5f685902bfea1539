"""What an iterator yields, made ahead by a thread while the caller works on what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def ahead(items: Iterator[T], n_waiting: int) -> Iterator[Iterator[T]]:
    """The same items (none is None) in their order, at most `n_waiting` of them made before they are asked for.

    An error of theirs is raised where its item would come. The thread ends with the context.
    """
    with ThreadPoolExecutor(1) as thread:
        made = deque(thread.submit(next, items, None) for _ in range(n_waiting))

        def taken() -> Iterator[T]:
            while (item := made.popleft().result()) is not None:
                made.append(thread.submit(next, items, None))
                yield item

        try:
            yield taken()
        finally:
            thread.shutdown(cancel_futures=True)
