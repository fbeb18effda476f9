"""Put plots/results.md into the README, between its two marks."""

from pathlib import Path

from benchmark.running import cli, errors
from benchmark.running.files import write_whole

README = Path("README.md")
TABLE = Path("plots/results.md")
BEGIN = "<!-- results: `make readme` writes what stands here -->\n"
END = "<!-- end of results -->\n"


def main() -> None:
    write_whole(README, with_table(README.read_text("utf-8")).encode())


def with_table(readme: str) -> str:
    """The README's text with the table of plots/results.md in it."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise errors.UserError(
            f"{README}: the marks {BEGIN.strip()} … {END.strip()} are gone"
        )
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{TABLE.read_text('utf-8')}\n{END}{after}"


if __name__ == "__main__":
    cli.run(main)
