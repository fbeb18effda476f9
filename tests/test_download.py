import io
import lzma
import re
import shutil
import tarfile
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch.core
import pytest

from benchmark import params
from benchmark.data import cifar10, synthetic
from benchmark.running import errors
from stages import download
from stages import filter as filter_stage
from tests.conftest import REAL, edit_params

# A length that a server announces for an answer without end.
ENDLESS = 10**15


def archive(files, folder="cifar-10-batches-py/", mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def server(monkeypatch):
    """A real HTTP server; `answers` maps a path to a list of responses, used in turn.

    An answer is (status, body) or (status, body, length announced).
    """
    monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests.append(self.path)
            queue = server.answers.get(self.path, [(404, b"no such file")])
            status, body, *length = queue.pop(0) if len(queue) > 1 else queue[0]
            self.send_response(status)
            self.send_header("Content-Length", str(length[0] if length else len(body)))
            self.end_headers()
            with suppress(ConnectionError):
                while True:
                    self.wfile.write(body)
                    if not length or length[0] != ENDLESS:
                        break
                    server.sent += len(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.requests, server.sent = {}, [], 0
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def brought():
    return {name: (cifar10.FOLDER / name).read_bytes() for name in cifar10.OFFICIAL_MD5}


@pytest.fixture
def fetch(workplace, official, monkeypatch):
    """A function that runs the stage with a mirror, and returns the files it wrote."""

    def fetch(mirror):
        monkeypatch.setenv("CIFAR10_MIRROR", str(mirror))
        download.main()
        return brought()

    return fetch


@pytest.fixture
def refusal(fetch, workplace):
    """A function that returns the one-line error for a wrong mirror."""

    def refusal(mirror):
        with pytest.raises(errors.UserError) as raised:
            fetch(mirror)
        assert not [path for path in (workplace / "data").rglob("*") if path.is_file()]
        said = str(raised.value)
        assert "\n" not in said and "CIFAR10_MIRROR" in said and "make demo" in said
        return said

    return refusal


@pytest.mark.parametrize(
    "mirror", ["http://[broken/cifar.tar.gz", "http://", "x" * 5_000, "nowhere.tar.gz"]
)
def test_a_wrong_mirror_is_one_line(refusal, server, mirror):
    assert refusal(mirror).startswith(f"CIFAR-10 from {mirror.rstrip('/')}")


@pytest.mark.parametrize(
    "address", ["/cifar.tar.gz", "/cifar.tgz/content", "/get?file=cifar.tar.gz"]
)
def test_an_archive_over_http(fetch, workplace, official, server, address):
    server.answers[address] = [(200, archive(official))]
    assert fetch(f"{server.url}{address}") == official
    assert sorted(p.name for p in (workplace / "data").iterdir()) == ["cifar-10-batches-py"]


def test_the_official_url_is_the_default(workplace, official, server, monkeypatch):
    server.answers["/cifar.tar.gz"] = [(200, archive(official))]
    monkeypatch.setattr(cifar10, "URL", f"{server.url}/cifar.tar.gz")
    download.main()
    assert brought() == official


def test_a_folder_over_http(fetch, official, server):
    server.answers = {f"/mirror/{name}": [(200, body)] for name, body in official.items()}
    assert fetch(f"{server.url}/mirror/") == official


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("folder", ["cifar-10-batches-py/", "", "other/place/"])
def test_an_archive_on_disk(fetch, workplace, official, mode, folder):
    (workplace / "mirror.tar").write_bytes(archive(official, folder, mode))
    assert fetch("mirror.tar") == official


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-py"])
def test_a_folder_on_disk(fetch, workplace, official, inner):
    folder = workplace / "mirror" / inner
    folder.mkdir(parents=True)
    for name, content in official.items():
        (folder / name).write_bytes(content)
    assert fetch(workplace / "mirror") == official


def test_a_relative_mirror_is_relative_to_the_repository(
    fetch, workplace, official, monkeypatch
):
    (workplace / "mirror.tar.gz").write_bytes(archive(official))
    copy = workplace / ".dvc" / "tmp" / "copy"
    copy.mkdir(parents=True)
    shutil.copyfile(workplace / "params.yaml", copy / "params.yaml")
    shutil.copytree(workplace / "architectures", copy / "architectures")
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(workplace))
    assert fetch("mirror.tar.gz") == official


@pytest.mark.parametrize(
    "faults",
    [
        [(429, b"too many"), (408, b"too slow")],
        [(503, b"busy"), (500, b"out of order"), (503, b"busy")],
        [(200, b"half an arch", 1000)],
    ],
)
def test_temporary_errors_are_retried(fetch, official, server, faults):
    server.answers["/cifar.tar.gz"] = [*faults, (200, archive(official))]
    assert fetch(f"{server.url}/cifar.tar.gz") == official
    assert len(server.requests) == len(faults) + 1


@pytest.mark.parametrize(
    ("answer", "requests", "cause"),
    [
        ((404, b"no"), 1, "404"),
        ((403, b"no"), 1, "403"),
        ((500, b"no"), 4, "500"),
        ((200, b"half an archive", 1000), 4, "(?i)incomplete"),
        ((200, b"<html>Please log in</html>"), 1, "not a complete tar archive"),
        ((200, b""), 1, "not a complete tar archive"),
    ],
)
def test_permanent_errors_are_one_line(refusal, server, answer, requests, cause):
    server.answers["/cifar.tar.gz"] = [answer]
    said = refusal(f"{server.url}/cifar.tar.gz")
    assert re.search(cause, said) and server.url in said
    assert len(server.requests) == requests


@pytest.mark.parametrize("address", ["cifar.tar.gz", "mirror"])
def test_an_endless_answer_is_cut_off(refusal, server, monkeypatch, address):
    monkeypatch.setattr(download, "MAX_BYTES", 3_000_000)
    endless = [(200, bytes(100_000), ENDLESS)]
    server.answers = {"/cifar.tar.gz": endless, "/mirror/batches.meta": endless}
    assert "the answer is longer than 3 MB" in refusal(f"{server.url}/{address}")
    assert len(server.requests) == 1 and server.sent < 50_000_000


def test_a_file_that_unpacks_to_too_much_is_refused(refusal, official, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 3_000_000)
    Path("bomb.tar.gz").write_bytes(archive(official | {"test_batch": bytes(4_000_000)}))
    assert "test_batch is too large" in refusal(Path("bomb.tar.gz").absolute())


def test_no_server_is_one_line(refusal, server):
    server.shutdown()
    server.server_close()
    assert "connection" in refusal(f"{server.url}/cifar.tar.gz").lower()


def damaged_in_the_middle(files):
    content = bytearray(archive(files, mode="w:xz"))
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(bytes(content))
    return bytes(content)


FAULTY = {
    "cut short": (lambda files: archive(files)[:-200_000], "not a complete tar archive"),
    "damaged": (damaged_in_the_middle, "not a complete tar archive"),
    "one wrong file": (
        lambda files: archive(files | {"test_batch": files["data_batch_1"]}),
        "test_batch is not the official file",
    ),
    "a file less": (
        lambda files: archive({k: v for k, v in files.items() if k != "data_batch_4"}),
        "the archive has no data_batch_4",
    ),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_nothing_is_taken_from_a_damaged_archive(refusal, workplace, official, fault):
    make, cause = FAULTY[fault]
    (workplace / "faulty.tar").write_bytes(make(official))
    assert cause in refusal("faulty.tar")


def test_archives_cannot_write_outside_the_target(fetch, workplace, official):
    outside = str(workplace / "outside")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("../outside", "../../test_batch", outside, "a/../../data_batch_1"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("cifar-10-batches-py/data_batch_2")
        link.type, link.linkname = tarfile.SYMTYPE, str(workplace / "params.yaml")
        tar.addfile(link)
        for name, content in official.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (workplace / "evil.tar").write_bytes(buffer.getvalue())
    before = {path for path in workplace.parent.rglob("*") if path.is_file()}
    assert fetch("evil.tar") == official
    after = {path for path in workplace.parent.rglob("*") if path.is_file()}
    assert after - before == {workplace / cifar10.FOLDER / name for name in official}
    assert not any((workplace / cifar10.FOLDER / name).is_symlink() for name in official)


def test_leftovers_of_a_kill_are_deleted(fetch, workplace, official):
    (workplace / "data/.download-killed").mkdir(parents=True)
    (workplace / "data/.download-killed/archive").write_bytes(b"half")
    (workplace / "mirror.tar.gz").write_bytes(archive(official))
    fetch("mirror.tar.gz")
    assert [path.name for path in (workplace / "data").iterdir()] == [cifar10.FOLDER.name]


def test_a_failure_keeps_existing_files(fetch, workplace, official):
    (workplace / "mirror.tar.gz").write_bytes(archive(official))
    fetch("mirror.tar.gz")
    with pytest.raises(errors.UserError):
        fetch("nowhere.tar.gz")
    assert brought() == official


def test_generated_images_are_read_like_real_ones(workplace):
    edit_params(
        workplace,
        {
            "data.source": "synthetic",
            "data.synthetic.train_images": 53,
            "data.synthetic.val_images": 12,
        },
    )
    download.main()
    filter_stage.main()
    first = brought()
    train = [cifar10.read_batch(name, first[name]) for name in cifar10.TRAIN_FILES]
    assert sum(len(batch.labels) for batch in train) == 53
    assert {label for batch in train for label in batch.labels} == {0, 2}
    assert len(cifar10.read_batch("test_batch", first["test_batch"]).labels) == 12
    download.main()
    assert brought() == first


def test_another_seed_generates_other_images(tmp_path):
    drawn = []
    for seed in (0, 1):
        wanted = params.Synthetic(train_images=10, val_images=2, seed=seed)
        synthetic.generate(wanted, tmp_path)
        drawn.append((tmp_path / "data_batch_1").read_bytes())
    assert drawn[0] != drawn[1]


@pytest.mark.skipif(not REAL.exists(), reason=f"the real archive is not at {REAL}")
def test_the_real_archive(workplace, monkeypatch):
    monkeypatch.setenv("CIFAR10_MIRROR", str(REAL))
    download.main()
    filter_stage.main()
    import torch

    made = torch.load("data/cifar2.pt", weights_only=True)
    assert made["train_images"].shape == (10_000, 3, 32, 32)
    assert made["val_images"].shape == (2_000, 3, 32, 32)
    assert made["train_labels"].bincount().tolist() == [5_000, 5_000]
    assert made["val_labels"].bincount().tolist() == [1_000, 1_000]
