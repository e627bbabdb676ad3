"""The resources of a node, which convert allocations into time.

Source: the protocol pages *grammar*, section 8.1, and *json-types*, section 4.
"""

from __future__ import annotations

import attrs

from .forms import U32, Record, member


@attrs.frozen
class Node(Record):
    """The resources of one node. All are whole numbers from 0 to 2**32 - 1.

    Attributes:
        cpus: Processors.
        cores_per_cpu: Cores of each processor.
        gpus: GPUs.
        memory_mb: Memory in MB.
        billing: Billing units per hour.
    """

    cpus: int = attrs.field(metadata=member(U32))
    cores_per_cpu: int = attrs.field(metadata=member(U32))
    gpus: int = attrs.field(metadata=member(U32))
    memory_mb: int = attrs.field(metadata=member(U32))
    billing: int = attrs.field(metadata=member(U32))

    @property
    def cores(self) -> int:
        """Cores of all processors together."""
        return self.cpus * self.cores_per_cpu

    @property
    def memory_gb(self) -> float:
        """Memory in GB of 1024 MB."""
        return self.memory_mb / 1024
