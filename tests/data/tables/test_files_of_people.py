"""Files as people have them: every row is kept or refused with its line, and no value moves to another molecule."""

import gzip
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.chemistry.files.readers import FORMATS
from data.chemistry.standardise import net_charge_in_text
from data.objects import NotStandardError
from data.tables.delimited import records
from data.tables.library_file import LibraryFile, standard_object
from data.tables.readers import SourceError
from models.sources.base import read_source
from models.spaces.molecules import Molecules

SPACE = Molecules(
    max_heavy_atoms=40,
    min_heavy_atoms=1,
    elements=("H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br", "Si", "Al", "Se"),
)


def read(folder, name, content, **options):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    kind = {".csv": "csv", ".tsv": "csv", ".sdf": "sdf", ".smi": "smiles"}[path.suffix]
    if path.suffix == ".tsv":
        options.setdefault("delimiter", "\t")
    return read_source({"kind": kind, "path": name, **options}, base=folder, space=SPACE)


def values(library):
    return dict(zip(library.frame["object"], library.frame["value"], strict=True))


def reasons(library):
    return {refusal.line: refusal.reason for refusal in library.refused}


# -- quotes ----------------------------------------------------------------------------------------------------------


def test_a_raw_tsv_with_lone_quotes_keeps_every_row_and_value(tmp_path):
    text = 'smiles\ty\tname\nCCO\t1\t"alpha" acid\nCCN\t2\t"half\nCCC\t3\tplain\nCCF\t5\t"open again\nCCCl\t6\tlast\n'
    library = read(tmp_path, "a.tsv", text, value="y")
    assert values(library) == {"CCO": 1, "CCN": 2, "CCC": 3, "CCF": 5, "CCCl": 6}
    shifted = 'name\tsmiles\ty\n"half\tCCO\t1\nb\tCCN\t2\n5"-dash\tCCF\t5\n'
    assert values(read(tmp_path, "b.tsv", shifted, value="y")) == {"CCO": 1, "CCN": 2, "CCF": 5}


def test_a_quote_that_never_closes_takes_no_row_with_it(tmp_path):
    text = 'smiles,name,y\nCCO,"abc,1\nCCN,def,2\nCCC,"ghi",3\nCCF,z,4\n'
    assert values(read(tmp_path, "a.csv", text, value="y")) == {"CCO": 1, "CCN": 2, "CCC": 3, "CCF": 4}


def test_lines_that_are_rows_and_one_quoted_cell_at_once_are_refused_each_with_its_line(tmp_path):
    library = read(tmp_path, "a.csv", 'smiles,name,y\nCCO,"abc,1\nCCN,x,7\nCCC,def",2\nCCF,z,4\n', value="y")
    assert values(library) == {"CCF": 4}
    assert sorted(reasons(library)) == [2, 3, 4]
    assert all("quotes are unbalanced" in reason for reason in reasons(library).values())


def test_quoted_cells_with_line_breaks_delimiters_and_doubled_quotes_are_read(tmp_path):
    text = 'note,smiles,y\n"two\nlines, one ""word""",CCO,1\n"",CCN,2\n"a, b","CCC","3"\n'
    library = read(tmp_path, "a.csv", text, value="y")
    assert values(library) == {"CCO": 1, "CCN": 2, "CCC": 3}
    assert list(library.frame["line"]) == [2, 4, 5]
    last = read(tmp_path, "b.csv", 'smiles,y,note\nCCO,1,"first\nsecond"\nCCN,2,x\n', value="y")
    assert values(last) == {"CCO": 1, "CCN": 2}


CELL = st.text(st.sampled_from('ab",\n '), max_size=6)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=6))
def test_no_line_vanishes_whatever_is_quoted(rows):
    text = "a,b,c\n" + "".join(",".join(row) + "\n" for row in rows)
    lines = text.splitlines(keepends=True)
    seen = list(records(lines, ","))
    kept = [row for row in seen[1:] if row.problem is None and len(row.cells) == 3]
    spans = [row.line for row in seen] + [len(lines) + 1]
    for row in kept:
        end = spans[spans.index(row.line) + 1]
        inside = [line.rstrip("\n") for line in lines[row.line - 1 : end - 1] if line.strip("\n")]
        whole = [line.count(",") == 2 for line in inside]
        assert len(inside) < 2 or not (whole[0] and whole[-1] and "".join(row.cells).count("\n") == len(inside) - 1)


def test_a_column_that_is_there_twice_is_refused_if_it_is_needed(tmp_path):
    with pytest.raises(SourceError, match="2 columns named 'y'"):
        read(tmp_path, "a.csv", "smiles,y,y\nCCO,1,2\n", value="y")
    assert values(read(tmp_path, "b.csv", "smiles,n,n,y\nCCO,1,2,3\n", value="y")) == {"CCO": 3}


# -- SD files --------------------------------------------------------------------------------------------------------


def block(symbol, extra=""):
    atoms = "".join(f"    {i}.0000    0.0000    0.0000 {s}   0  0\n" for i, s in enumerate(("C", "C", symbol)))
    return f"name\n  x\n\n  3  2  0  0  0  0            999 V2000\n{atoms}  1  2  1  0\n  2  3  1  0\n{extra}M  END\n"


@pytest.mark.parametrize("blank", [" ", "\t", "   ", "", None])
def test_a_value_is_read_whatever_ends_its_item(tmp_path, blank):
    end = "" if blank is None else f"{blank}\n"
    record = "".join(f"{block(s)}>  <ID>\n{n}\n{end}>  <y>\n{n}.5\n{end}$$$$\n" for n, s in enumerate("ON", start=1))
    assert values(read(tmp_path, "a.sdf", record, value="y")) == {"CCO": 1.5, "CCN": 2.5}
    assert values(read(tmp_path, "b.sdf", record.replace("\n", "\r\n"), value="y")) == {"CCO": 1.5, "CCN": 2.5}


@pytest.mark.parametrize("name", ["Ki (>1 nM)", "IC50 <uM>", "<a>", "x<y"])
def test_names_of_properties_may_have_angle_brackets(tmp_path, name):
    record = f"{block('O')}>  <{name}>  (1) \n1.5\n\n$$$$\n"
    assert values(read(tmp_path, "a.sdf", record, value=name)) == {"CCO": 1.5}


def test_a_name_that_ends_at_its_first_bracket_is_no_name(tmp_path):
    with pytest.raises(SourceError, match=r"no property 'Ki \('; it has 'Ki \(>1 nM\)'"):
        read(tmp_path, "a.sdf", f"{block('O')}>  <Ki (>1 nM)>\n1\n\n$$$$\n", value="Ki (")


def test_a_bound_in_an_sd_file_is_no_name(tmp_path):
    library = read(tmp_path, "a.sdf", f"{block('O')}> <y>\n>10\n\n$$$$\n{block('N')}> <y>\n2\n\n$$$$\n", value="y")
    assert values(library) == {"CCN": 2}
    assert "is a bound" in reasons(library)[1]


def test_a_record_whose_value_stands_behind_a_delimiter_in_a_text_is_not_unmeasured(tmp_path):
    text = f"{block('O')}> <log>\nstopped\n$$$$\nend\n\n> <y>\n1\n\n$$$$\n{block('N')}> <y>\n2\n\n$$$$\n"
    library = read(tmp_path, "a.sdf", text, value="y")
    assert values(library) == {"CCN": 2}
    assert len(library.refused) == 2


def test_a_record_whose_property_is_named_in_other_letters_is_refused_with_both_names(tmp_path):
    text = f"{block('O')}>  <Ki>\n1.5\n\n$$$$\n{block('N')}>  <KI>\n2.5\n\n$$$$\n"
    library = read(tmp_path, "a.sdf", text, value="Ki")
    assert values(library) == {"CCO": 1.5}
    assert [(r.line, r.reason) for r in library.refused] == [(15, "no property 'Ki' but one named 'KI'")]


def test_a_property_with_two_values_is_refused(tmp_path):
    text = f"{block('O')}> <y>\n1\n\n> <y>\n2\n\n$$$$\n{block('N')}> <y>\n2\n\n$$$$\n"
    library = read(tmp_path, "a.sdf", text, value="y")
    assert values(library) == {"CCN": 2}
    assert "there twice" in reasons(library)[1]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (block("O", "M  STY  1   1 SRU\nM  SAL   1  2   1   2\nM  SMT   1 n\n"), "a polymer"),
        (block("R#", "M  RGP  1   3   1\n"), "an R-group"),
        (block("A"), "an R-group|query"),
        (block("O", "M  APO  1   1   1\n"), "an R-group, an attachment point"),
        (block("L", "M  ALS   3  2 F N   O   \n"), "a query atom|unknown atom"),
        (block("O").replace("2  3  1", "2  3  8"), "a bond that is a query"),
        (block("O", "M  RAD  1   1   2\n"), "an unpaired electron"),
    ],
)
def test_a_drawing_that_is_no_molecule_is_refused_with_the_reason(tmp_path, record, reason):
    library = read(tmp_path, "a.sdf", f"{record}$$$$\n{block('N')}$$$$\n")
    assert list(library.frame["object"]) == ["CCN"]
    (told,) = reasons(library).values()
    assert any(words in told for words in reason.split("|"))


# -- structures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "standard"),
    [
        ("CCS(C)=O", "CCS(C)=O"),
        ("CC[S+](C)[O-]", "CCS(C)=O"),
        ("CS(C)(=N)=O", "CS(C)(=N)=O"),
        ("C[S+](C)(=O)[NH-]", "CS(C)(=N)=O"),
        ("C[P+](C)(C)[O-]", "CP(C)(C)=O"),
        ("C[Se+](C)[O-]", "C[Se](C)=O"),
        ("[O-][s+]1cccc1", "O=S1C=CC=C1"),
        ("CC[S@+](C)[O-]", "CC[S@](C)=O"),
        ("CN(=O)=O", "C[N+](=O)[O-]"),
        ("O=n1ccccc1", "[O-][n+]1ccccc1"),
        ("CN=N#N", "CN=[N+]=[N-]"),
        ("[O-]C(C)=[NH+]C", "CNC(C)=O"),
        ("Oc1ccccn1", "Oc1ccccn1"),
        ("O=c1cccc[nH]1", "O=c1cccc[nH]1"),
        ("N=C(N)O", "N=C(N)O"),
        ("[CH3:1][CH2:2][OH:3]", "CCO"),
        ("[H:1][O:2][CH3:3]", "CO"),
        ("CCN.Cl.Cl", "CCN"),
        ("[Na+].[Na+].CP(=O)([O-])[O-]", "CP(=O)(O)O"),
        ("[Cl-].O.CC[NH3+]", "CCN"),
        ("[NH3+]CC[B-](F)(F)F", "[NH3+]CC[B-](F)(F)F"),
        ("CCO |$a;b;c$|", "CCO"),
        ("CCO |(0,0,;1,0,;2,0,)|", "CCO"),
    ],
)
def test_the_standard_form_is_the_one_people_draw(tmp_path, written, standard):
    (tmp_path / "a.smi").write_text(f"{written}\n")
    (row,) = LibraryFile(tmp_path / "a.smi", more=FORMATS).rows()
    assert standard_object(row, SPACE.admit) == standard


REFUSED = {
    "CCN |^1:0|": "an unpaired electron",
    "O[C@H](Br)[C@H](F)C |&1:1,3|": "a mixture of stereoisomers",
    "O[C@H](Br)[C@H](F)C |o1:1|": "a mixture of stereoisomers",
    "*CC |$R1;;$|": "an R-group",
    "CCO |$;;_AP1$|": "an attachment point",
    "OCCO |Sg:n:1,2,3::ht|": "a polymer",
    "OCCO |Sg:mix:1,2,3::|": "brackets",
    "CCO |LN:1:1.3|": "a link node",
    "CC |s:0:1|": "a query atom",
    "CC~C": "a bond that is a query",
    "CCO |^1:": "that does not close",
    "CCO |zzz|": "cannot be read",
    "[BH4-].[Na+]": "a net charge",
    "[BH3-]C#N.[Na+]": "a net charge",
    "CC[BH-](CC)CC.[Li+]": "a net charge",
    "F[B-](F)(F)F.[K+]": "a net charge",
    "[AlH4-].[Li+]": "a net charge",
    "C[SiH-](C)C.[K+]": "a net charge",
    "[CH2-]CCC.[Li+]": "a net charge",
    "CC[CH2+].[Cl-]": "a net charge",
    "CCN.OC(=O)/C=C/C(=O)O": "more than one fragment",
    "[Na+].[Cl-]": "more than one fragment",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_molecule_is_refused_alike_in_a_list_a_table_and_a_parquet_file(tmp_path, text):
    (tmp_path / "a.smi").write_text(f"{text} name\n" if not text.startswith("CCO |^1:") else f"{text}\n")
    (tmp_path / "a.tsv").write_text(f"smiles\n{text}\n")
    pd.DataFrame({"smiles": [text]}).to_parquet(tmp_path / "a.parquet")
    for name in ("a.smi", "a.tsv", "a.parquet"):
        (row,) = LibraryFile(tmp_path / name, more=FORMATS).rows()
        with pytest.raises(NotStandardError, match=REFUSED[text]):
            standard_object(row, SPACE.admit)


def test_a_control_character_ends_no_smiles(tmp_path):
    library = read(tmp_path, "a.csv", "smiles,y\nCC\x01N,1\nCCO,2\n", value="y")
    assert values(library) == {"CCO": 2}


def test_borane_keeps_its_own_value(tmp_path):
    library = read(tmp_path, "a.csv", "smiles,y\n[BH4-].[Na+],1\nB,2\nCC[BH-](CC)CC.[Li+],4\nCCB(CC)CC,5\n", value="y")
    assert values(library) == {"B": 2, "CCB(CC)CC": 5}


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["5_1", "1e5_0", "nan", "inf", "-Infinity", "0x10", "\uff11\uff12", "1 000", "1,5", "--1", "1e", ".", "1e999"],
)
def test_what_is_no_plain_number_is_refused_with_its_line(tmp_path, text):
    library = read(tmp_path, "a.tsv", f"smiles\ty\nCCN\t2\nCCO\t{text}\n", value="y")
    assert values(library) == {"CCN": 2}
    assert "is not a finite number" in reasons(library)[3]


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("-1.5e-12", -1.5e-12), (".5", 0.5), ("5.", 5), ("+3E2", 300)])
def test_plain_numbers_are_read_to_the_last_digit(tmp_path, text, value):
    assert values(read(tmp_path, "a.csv", f"smiles,y\nCCO,{text}\n", value="y")) == {"CCO": value}


def test_decimal_commas_are_read_where_the_source_says_so(tmp_path):
    text = "smiles;y\nCCO;1,5\nCCN;2\nCCC;1,2,3\n"
    library = read(tmp_path, "a.csv", text, value="y", delimiter=";", decimal=",")
    assert values(library) == {"CCO": 1.5, "CCN": 2}
    assert "option decimal" in reasons(read(tmp_path, "a.csv", text, value="y", delimiter=";"))[2]


@pytest.mark.parametrize("text", ["1.234", "-12.345", "1.234.567"])
def test_a_thousands_point_is_no_decimal_point_where_decimals_have_commas(tmp_path, text):
    table = f"smiles;y\nCCO;{text}\nCCN;0.125\nCCC;1,234\nCCCC;1.5e-9\n"
    library = read(tmp_path, "a.csv", table, value="y", delimiter=";", decimal=",")
    assert values(library) == {"CCN": 0.125, "CCC": 1.234, "CCCC": 1.5e-9}
    assert "ambiguous" in reasons(library)[2]


@pytest.mark.parametrize("text", ["1e-400", "0.3E-999", "-2e-330"])
def test_a_value_too_small_for_a_number_does_not_become_zero(tmp_path, text):
    library = read(tmp_path, "a.csv", f"smiles,y\nCCO,{text}\nCCN,0e-5\nCCC,-0.0\nCCCC,1e-300\n", value="y")
    assert values(library) == {"CCN": 0, "CCC": 0, "CCCC": 1e-300}
    assert "too small" in reasons(library)[2]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;"])
def test_excels_line_that_tells_the_delimiter_is_no_header(tmp_path, first):
    text = f'\ufeff{first}\r\nsmiles;y;note\r\nCCO;1,5;"two\r\nlines"\r\nCCN;;\r\n'
    library = read(tmp_path, "a.csv", text, value="y", delimiter=";", decimal=",")
    assert list(library.frame["line"]) == [3, 5]
    assert values(library)["CCO"] == 1.5


def test_another_delimiter_is_named_with_the_option_that_takes_it(tmp_path):
    for text, said in (
        ("smiles;y\nCCO;1,5\n", '`delimiter: ";"` (and `decimal'),
        ("smiles\ty\nCCO\t1\n", r'`delimiter: "\t"`'),
    ):
        with pytest.raises(SourceError, match="are separated by") as error:
            read(tmp_path, "a.csv", text, value="y")
        assert said in str(error.value)


@pytest.mark.parametrize("above", ["Assay 7,,\n", "# exported\n\n", "Instrument,X\nDate,2024-01-01\n,,\n"])
def test_a_header_that_is_not_the_first_line_is_found_and_its_line_told(tmp_path, above):
    line = above.count("\n") + 1
    with pytest.raises(SourceError, match=f"stand in line {line} "):
        read(tmp_path, "a.csv", above + "smiles,name,y\nCCO,a,1\n", value="y")


@pytest.mark.parametrize("column", ["Operator", "operator name"])
def test_who_operated_the_instrument_is_no_relation(tmp_path, column):
    text = f"smiles,{column},y\nCCO,Anna-Lena O'Neil,1\nCCN,>,2\nCCC,,3\nCCCC,=,4\nCCCCC,greater than,5\n"
    library = read(tmp_path, "a.csv", text, value="y")
    assert values(library) == {"CCO": 1, "CCC": 3, "CCCC": 4}
    assert sorted(reasons(library)) == [3, 6]


@pytest.mark.parametrize("text", [">10", "< 5", "~3", "<=1", "≥2", ">>4", "ca. 3", "±1", "=5"])
def test_a_bound_in_the_cell_of_a_value_is_refused_and_counted(tmp_path, text):
    library = read(tmp_path, "a.tsv", f"smiles\ty\nCCO\t{text}\nCCN\t1\n", value="y")
    assert values(library) == {"CCN": 1}
    assert "a bound or an estimate" in reasons(library)[2]
    assert any(note.startswith("1 row with a bound") for note in library.warnings)


CHEMBL = (
    '"Smiles";"Standard Relation";"Standard Value";"Standard Units"\n"CCO";"\'=\'";"12.5";"nM"\n'
    '"CCN";"\'>\'";"10000.0";"nM"\n"CCC";"\'=\'";"3.2";"ug.mL-1"\n"CCCC";"";"";""\n"";"\'=\'";"1.0";"nM"\n'
)
COLUMNS = {"smiles": "Smiles", "value": "Standard Value", "delimiter": ";"}


def test_a_relation_in_a_column_of_its_own_is_heeded_though_nobody_named_it(tmp_path):
    library = read(tmp_path, "a.csv", CHEMBL, **COLUMNS)
    assert values(library)["CCO"] == 12.5
    assert "CCN" not in values(library)
    assert "the relation '>'" in reasons(library)[3]
    assert math.isnan(values(library)["CCCC"])
    told = "in 2 units by the column 'Standard Units' ('nM' in 1 row, 'ug.mL-1' in 1 row)"
    assert told in library.warnings[0]


def test_a_named_relation_and_unit_are_heeded_too(tmp_path):
    with pytest.raises(SourceError, match=r"in 2 units .* Give `unit: nM`"):
        read(tmp_path, "a.csv", CHEMBL, relation="Standard Relation", unit_column="Standard Units", **COLUMNS)
    library = read(tmp_path, "a.csv", CHEMBL, unit_column="Standard Units", unit="nM", **COLUMNS)
    assert set(values(library)) == {"CCO", "CCCC"}
    assert reasons(library)[4] == "the unit 'ug.mL-1' of the value is not the one that was asked for"
    with pytest.raises(SourceError, match="no column 'relaton'"):
        read(tmp_path, "a.csv", CHEMBL, relation="relaton", **COLUMNS)


def test_of_two_relations_the_one_of_the_value_is_taken(tmp_path):
    text = "smiles,IC50_relation,IC50,Ki_relation,Ki\nCCO,>,1,=,2\nCCN,=,3,<,4\n"
    assert values(read(tmp_path, "a.csv", text, value="Ki")) == {"CCO": 2}
    assert values(read(tmp_path, "a.csv", text, value="IC50")) == {"CCN": 3}


REPLICATES = "smiles,y\nCCO,1\nOCC,1000000\nCCO.Cl,10\nCCN,0.1\nNCC,0.3\nCCC,\nCCC,4\nCCCC,>25.11\nCCCC,18.5\n"


@pytest.mark.parametrize(
    ("rule", "ethanol", "ethylamine"),
    [
        ("mean", 1000001 / 2, 0.2),
        ("median", 1000001 / 2, 0.2),
        ("geometric_mean", 1000, 0.03**0.5),
        ("first", 1, 0.1),
    ],
)
def test_replicates_become_what_the_option_says(tmp_path, rule, ethanol, ethylamine):
    library = read(tmp_path, "a.csv", REPLICATES, value="y", replicates=rule)
    assert values(library) == pytest.approx({"CCO": ethanol, "CCN": ethylamine, "CCC": 4, "CCCC": 18.5})
    assert (library.rows, library.merged, len(library.refused)) == (9, 4, 1)
    assert any("Those of 1 differ more than 10-fold" in note for note in library.warnings)
    assert any("line 4, CCO.Cl (10; kept" in note for note in library.warnings)  # a salt is another species


def test_replicates_that_differ_on_the_scale_of_the_data_are_told(tmp_path):
    text = "smiles,y\n" + "".join(f"{'C' * n},{6 + n / 10}\n" for n in range(1, 9))
    (warning,) = read(tmp_path, "a.csv", text + "CCCCO,6.1\nOCCCC,6.2\n", value="y").warnings
    assert "deviate from their mean" not in warning
    (warning,) = read(tmp_path, "a.csv", text + "CCCCO,5\nOCCCC,8\n", value="y").warnings
    assert warning.startswith(
        "The replicates of 1 molecule differ; their mean was kept. Furthest apart: lines 10 and 11"
    )
    assert "Those of 1 differ more than 10-fold, or by more than the values of all molecules deviate" in warning


def test_what_was_taken_off_a_measured_molecule_is_told(tmp_path):
    measured = "CCN.Cl,1\nCC(=O)[O-].[Na+],2\nCCC[NH3+],3\nC[N+](=O)[O-],4\n[NH3+]CC(=O)[O-],5\nCCO,6\n"
    library = read(tmp_path, "a.csv", "smiles,y\n" + measured + "CCCC[NH3+],\nCCCN.Br,\n", value="y")
    after = "the value stands for the molecule that is left"
    assert library.warnings == [
        f"1 row with a value had a net charge, which was settled with protons: {after} (line 4, CCC[NH3+]).",
        "2 rows with a value had counter-ions or solvent, which were taken off: "
        f"{after} (line 2, CCN.Cl; line 3, CC(=O)[O-].[Na+]).",
    ]


def test_replicates_without_a_geometric_mean_are_refused(tmp_path):
    text = "smiles,y\nCCO,-1\nCCO,2\nCCN,-3\n"
    library = read(tmp_path, "a.csv", text, value="y", replicates="geometric_mean")
    assert values(library) == {"CCN": -3}
    assert sorted(reasons(library)) == [2, 3]
    assert library.rows == len(library.frame) + library.merged + len(library.refused)


def test_tautomers_are_not_merged(tmp_path):
    library = read(tmp_path, "a.csv", "smiles,y\nOc1ccccn1,2.28\nO=c1cccc[nH]1,5.11\nNC(N)=O,1\nN=C(N)O,2\n", value="y")
    assert values(library) == {"Oc1ccccn1": 2.28, "O=c1cccc[nH]1": 5.11, "NC(N)=O": 1, "N=C(N)O": 2}
    assert library.frame["id"].is_unique


# -- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("smiles\tname\nCCO\té\n".encode("utf-16"), "UTF-16, as Excel"),
        ("smiles\tname\nCCO\té\n".encode("utf-16-le"), "UTF-16, as Excel"),
        ("smiles\tname\nCCO\té\n".encode("latin-1"), r"in line 2\); it may be Latin-1.*iconv"),
        ("smiles\tname\nCCO\té\nCC\0N\tan amine\n".encode(), "has a NUL byte in line 3, .*the rest of it is UTF-8"),
    ],
)
def test_another_encoding_is_refused_with_what_to_do(tmp_path, content, words):
    with pytest.raises(SourceError, match=words):
        read(tmp_path, "a.tsv", content)
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(content))
    with pytest.raises(SourceError, match=words):
        list(LibraryFile(Path(tmp_path / "a.tsv.gz")).rows())


def test_a_property_in_latin_1_is_found_by_its_name(tmp_path):
    content = f"{block('O')}> <IC50 (µM)>\n1.5\n\n$$$$\n".encode("latin-1")
    assert values(read(tmp_path, "a.sdf", content, value="IC50 (µM)")) == {"CCO": 1.5}


def test_a_note_on_one_value_and_a_reason_on_cells_are_sentences(tmp_path):
    library = read(tmp_path, "a.csv", "smiles,y\nCCO,1\nOCC,\nCCN,1,2\n", value="y")
    assert any(note.endswith("CCO: kept the only value.") for note in library.notes)
    assert library.reasons == {"not as many cells as the header, which has 2": 1}


@pytest.mark.parametrize(
    ("smiles", "charge"),
    [("CCO", 0), ("C[N+](=O)[O-]", 0), ("[NH4+]", 1), ("[Ca+2].[Cl-]", 1), ("[Fe+++]", 3), ("[O-][n+:3]1ccccc1-c1[nH]ccc1", 0),
     ("C[C@@H]([13CH2-])C-C", -1), ("[O--]", -2)],
)  # fmt: skip
def test_the_net_charge_is_read_off_the_text(smiles, charge):
    assert net_charge_in_text(smiles) == charge
