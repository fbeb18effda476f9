"""Copy the table of results from plots/results.md into the README."""

from pathlib import Path

from benchmark.running import cli, errors
from benchmark.running.files import write_atomic

README = Path("README.md")
TABLE = Path("plots/results.md")
BEGIN = "<!-- results: written by `make readme` -->\n"
END = "<!-- end of results -->\n"


def main() -> None:
    write_atomic(README, with_table(README.read_text("utf-8")).encode())


def with_table(readme: str) -> str:
    """Return the README with the first section of plots/results.md between the markers."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise errors.UserError(
            f"{README}: the markers {BEGIN.strip()} and {END.strip()} must occur once each"
        )
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    table = TABLE.read_text("utf-8").partition("\n## ")[0].strip()
    return f"{before}{BEGIN}\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    cli.run(main)
