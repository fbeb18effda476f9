import io
import lzma
import shutil
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pooch.core
import pytest

from benchmark import cifar10, errors, params, synthetic
from stages import download
from stages import filter as filter_stage
from tests.conftest import ROOT, edit_params, run


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
    """A real HTTP server; `answers` maps a path to a list of answers, taken in turn.

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
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.requests = {}, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def brought():
    return {name: (cifar10.FOLDER / name).read_bytes() for name in cifar10.OFFICIAL_MD5}


def assert_nothing_left(workplace):
    """No file under data/, neither whole nor half."""
    assert [path for path in (workplace / "data").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "mirror", ["http://[broken/cifar.tar.gz", "http://", "x" * 5_000, "a\0b"]
)
def test_a_mirror_that_cannot_be_is_one_line(workplace, mirror):
    # Called as main calls it; no environment variable can hold a null byte.
    with pytest.raises(errors.UserError, match=r"CIFAR10_MIRROR.*make demo") as raised:
        download.bring(mirror, workplace)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "address", ["/cifar.tar.gz", "/cifar.tgz/content", "/get?file=cifar.tar.gz"]
)
def test_an_archive_over_http(workplace, official, server, monkeypatch, address):
    server.answers[address] = [(200, archive(official))]
    monkeypatch.setenv("CIFAR10_MIRROR", f"{server.url}{address}")
    download.main()
    assert brought() == official
    assert sorted(p.name for p in (workplace / "data").iterdir()) == ["cifar-10-batches-py"]


def test_the_official_url_where_no_mirror_is_set(workplace, official, server, monkeypatch):
    server.answers["/cifar.tar.gz"] = [(200, archive(official))]
    monkeypatch.setattr(cifar10, "URL", f"{server.url}/cifar.tar.gz")
    download.main()
    assert brought() == official


def test_a_folder_over_http(workplace, official, server, monkeypatch):
    server.answers = {f"/mirror/{name}": [(200, body)] for name, body in official.items()}
    monkeypatch.setenv("CIFAR10_MIRROR", f"{server.url}/mirror/")
    download.main()
    assert brought() == official


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("folder", ["cifar-10-batches-py/", "", "other/place/"])
def test_an_archive_on_disk(workplace, official, monkeypatch, mode, folder):
    (workplace / "mirror.tar").write_bytes(archive(official, folder, mode))
    monkeypatch.setenv("CIFAR10_MIRROR", "mirror.tar")
    download.main()
    assert brought() == official


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-py"])
def test_a_folder_on_disk(workplace, official, monkeypatch, inner):
    folder = workplace / "mirror" / inner
    folder.mkdir(parents=True)
    for name, content in official.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("CIFAR10_MIRROR", str(workplace / "mirror"))
    download.main()
    assert brought() == official


def test_a_relative_mirror_starts_at_the_repository(workplace, official, monkeypatch):
    (workplace / "mirror.tar.gz").write_bytes(archive(official))
    copy = workplace / ".dvc" / "tmp" / "copy"
    copy.mkdir(parents=True)
    shutil.copyfile(workplace / "params.yaml", copy / "params.yaml")
    shutil.copytree(workplace / "architectures", copy / "architectures")
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(workplace))
    monkeypatch.setenv("CIFAR10_MIRROR", "mirror.tar.gz")
    download.main()
    assert brought() == official


@pytest.mark.parametrize(
    "faults",
    [
        [(500, b"out of order")],
        [(429, b"too many"), (408, b"too slow")],
        [(503, b"busy"), (500, b"out of order"), (503, b"busy")],
        [(200, b"half an arch", 1000)],
    ],
)
def test_faults_that_pass_are_tried_again(workplace, official, server, monkeypatch, faults):
    server.answers["/cifar.tar.gz"] = [*faults, (200, archive(official))]
    monkeypatch.setenv("CIFAR10_MIRROR", f"{server.url}/cifar.tar.gz")
    download.main()
    assert brought() == official
    assert len(server.requests) == len(faults) + 1


@pytest.mark.parametrize(
    ("answer", "requests", "cause"),
    [
        ((404, b"no"), 1, "404"),
        ((403, b"no"), 1, "403"),
        ((500, b"no"), 4, "500"),
        ((200, b"half an archive", 1000), 4, "(?i)incomplete"),
        ((200, b"<html>Please log in</html>"), 1, "not a whole tar archive"),
        ((200, b""), 1, "not a whole tar archive"),
    ],
)
def test_faults_that_stay_are_one_line(
    workplace, official, server, monkeypatch, answer, requests, cause
):
    server.answers["/cifar.tar.gz"] = [answer]
    monkeypatch.setenv("CIFAR10_MIRROR", f"{server.url}/cifar.tar.gz")
    with pytest.raises(errors.UserError, match=cause) as raised:
        download.main()
    message = str(raised.value)
    assert "\n" not in message
    assert server.url in message and "CIFAR10_MIRROR" in message and "make demo" in message
    assert len(server.requests) == requests
    assert_nothing_left(workplace)


def test_no_server_is_one_line(workplace, official, server, monkeypatch):
    server.shutdown()
    server.server_close()
    monkeypatch.setenv("CIFAR10_MIRROR", f"{server.url}/cifar.tar.gz")
    with pytest.raises(errors.UserError, match=r"(?i)connection") as raised:
        download.main()
    assert "\n" not in str(raised.value)


def cut(files):
    return archive(files)[:-200_000]


def with_one_wrong_file(files):
    return archive(files | {"test_batch": files["data_batch_1"]})


def without_a_file(files):
    return archive({name: files[name] for name in files if name != "data_batch_4"})


def damaged_in_the_middle(files):
    content = bytearray(archive(files, mode="w:xz"))
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(bytes(content))
    return bytes(content)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (cut, "not a whole tar archive"),
        (damaged_in_the_middle, "not a whole tar archive"),
        (with_one_wrong_file, "test_batch is not the official file"),
        (without_a_file, "the archive has no data_batch_4"),
    ],
)
def test_of_a_faulty_archive_nothing_is_taken(
    workplace, official, monkeypatch, make, cause
):
    (workplace / "faulty.tar").write_bytes(make(official))
    monkeypatch.setenv("CIFAR10_MIRROR", "faulty.tar")
    with pytest.raises(errors.UserError, match=cause):
        download.main()
    assert_nothing_left(workplace)


def test_nothing_leaves_the_target(workplace, official, monkeypatch):
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
    monkeypatch.setenv("CIFAR10_MIRROR", "evil.tar")
    download.main()
    after = {path for path in workplace.parent.rglob("*") if path.is_file()}
    assert after - before == {workplace / cifar10.FOLDER / name for name in official}
    assert not any((workplace / cifar10.FOLDER / name).is_symlink() for name in official)
    assert brought() == official


def test_what_a_kill_left_is_cleared_away(workplace, official, monkeypatch):
    (workplace / "data/.download-killed").mkdir(parents=True)
    (workplace / "data/.download-killed/archive").write_bytes(b"half")
    (workplace / "mirror.tar.gz").write_bytes(archive(official))
    monkeypatch.setenv("CIFAR10_MIRROR", "mirror.tar.gz")
    download.main()
    assert [path.name for path in (workplace / "data").iterdir()] == [cifar10.FOLDER.name]


@pytest.mark.parametrize(
    ("url", "is_archive"),
    [
        ("http://localhost/my.target.com/cifar-10-batches-py", False),
        ("http://localhost/cifar.tar.gz?download=1", True),
        ("http://localhost/cifar.tgz", True),
    ],
)
def test_which_urls_are_archives(tmp_path, monkeypatch, url, is_archive):
    fetched = []
    monkeypatch.setattr(download, "fetch", lambda url, *_: fetched.append(url) or tmp_path)
    monkeypatch.setattr(download, "from_archive", lambda *_: None)
    download.reader(url, tmp_path)
    assert bool(fetched) is is_archive


def test_a_path_that_is_not_there(workplace, official, monkeypatch):
    monkeypatch.setenv("CIFAR10_MIRROR", "nowhere.tar.gz")
    with pytest.raises(errors.UserError, match=r"nowhere.tar.gz: there is no such file"):
        download.main()


def test_a_failure_keeps_what_was_there(workplace, official, monkeypatch):
    (workplace / "mirror.tar.gz").write_bytes(archive(official))
    monkeypatch.setenv("CIFAR10_MIRROR", "mirror.tar.gz")
    download.main()
    monkeypatch.setenv("CIFAR10_MIRROR", "nowhere.tar.gz")
    with pytest.raises(errors.UserError):
        download.main()
    assert brought() == official


def test_the_command_ends_with_one_line_and_no_traceback(workplace):
    printed = run(
        "python", "-m", "stages.download",
        cwd=workplace, check=False, PYTHONPATH=str(ROOT), CIFAR10_MIRROR="nowhere",
    )  # fmt: skip
    assert printed.startswith("error: CIFAR-10 from nowhere: there is no such file")
    assert len(printed.splitlines()) == 1


def test_the_official_md5s():
    assert cifar10.OFFICIAL_MD5 == {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    }


def test_synthetic_images_are_read_like_the_real_ones(workplace):
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


def test_another_seed_draws_other_images(tmp_path):
    drawn = []
    for seed in (0, 1):
        wanted = params.Synthetic(train_images=10, val_images=2, seed=seed)
        synthetic.draw(wanted, tmp_path)
        drawn.append((tmp_path / "data_batch_1").read_bytes())
    assert drawn[0] != drawn[1]


REAL = ROOT.parent / "shared" / "data" / "cifar-10-python.tar.gz"


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
