"""What all readers of one store in this process may have under way together. Pure accounting."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Share:
    """What one reader has of the budget."""

    reads: int = 0
    held_bytes: int = 0


@dataclass(slots=True)
class Budget:
    """Requests and memory of a store's parallel reads, in equal shares for those who read.

    A reader's first request is its own, as without parallel reads: nobody waits for a share, one may only have less.
    `depth`: what paid for the last reader who found out; None: nobody has yet.
    """

    reads_max: int
    bytes_max: int
    depth: int | None = None
    shares: list[Share] = field(default_factory=list)

    @property
    def held_bytes(self) -> int:
        return sum(share.held_bytes for share in self.shares)

    @property
    def reads(self) -> int:
        return sum(share.reads for share in self.shares)

    def enter(self) -> Share:
        share = Share()
        self.shares.append(share)
        return share

    def leave(self, share: Share) -> None:
        self.shares = [other for other in self.shares if other is not share]

    def admits(self, share: Share, size_bytes: int) -> bool:
        """Whether its reader may send one more request, whose answer may take so much memory."""
        readers = len(self.shares)
        return (
            share.reads < max(1, self.reads_max // readers)
            and self.reads < self.reads_max
            and share.held_bytes + size_bytes <= self.bytes_max // readers
            and self.held_bytes + size_bytes <= self.bytes_max
        )
