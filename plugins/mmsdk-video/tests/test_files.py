"""Opening a file reads that file and nothing else, whatever it says; what is no video is a DecodeError."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mmsdk import DecodeError
from mmsdk_video.clip import Clips
from mmsdk_video.sound import Sounds

IN_OPEN = 0x20


def read_both(value: Any, message: str | None = None) -> None:
    """Neither the pictures nor the sound can be read, for the same reason."""
    for modality in (Clips(), Sounds()):
        with pytest.raises(DecodeError, match=message):
            modality.prepare(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Path("nowhere.mp4"), r"there is no file 'nowhere\.mp4'"),
        ("http://127.0.0.1/a.mp4", "there is no file 'http:/127.0.0.1/a.mp4'"),
        (Path("/"), "there is no file '/'"),
        (Path("/dev/zero"), "there is no file '/dev/zero'"),
        ("a\0b", "there is no file|cannot open"),
        ("a" * 5000, "there is no file|cannot open"),
        (b"", "cannot read the video: it is empty; expected an MP4, MOV, MKV, WebM or AVI file"),
        (b"hello there, I am a video", "it is no video, or damaged"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "it is no video, or damaged"),
        (b"\0\0\0\x18ftypmp42", "cannot read the video: "),
        (b"\x1a\x45\xdf\xa3", "cannot read the video: "),
        (b"RIFF\x10\0\0\0AVI LIST", "cannot read the video: "),
        (3, "expected a video: the path of an MP4, MOV, MKV, WebM or AVI file, or its bytes; got 3"),
        (None, "got None"),
        ([b"a"], "expected a video"),
    ],
)
def test_what_cannot_be_read_is_told(value: Any, message: str) -> None:
    read_both(value, message)


def test_a_damaged_file_is_named(tmp_path: Path, movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    path = tmp_path / "half.mp4"
    path.write_bytes(movie(steps(8))[:200])
    read_both(path, r"half\.mp4': ")


def test_a_path_and_its_bytes_are_the_same(
    tmp_path: Path, movie: Callable[..., bytes], steps: Callable[..., Any]
) -> None:
    path = tmp_path / "a.bin"  # the name says nothing
    path.write_bytes(movie(steps(8)))
    for value in (str(path), path.read_bytes(), memoryview(path.read_bytes())):
        assert np.array_equal(Clips().prepare(value), Clips().prepare(path))


def test_other_demuxers_are_not_asked(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    for format, codec in (("mpegts", "mpeg4"), ("gif", "gif"), ("flv", "flv"), ("ogg", "libtheora"), ("asf", "mpeg4")):
        if codec in av.codecs_available:
            try:
                file = movie(steps(8), format=format, codec=codec)
            except (KeyError, ValueError):  # this build cannot write it
                continue
            read_both(file, "it is no video, or damaged")


class Watch:
    """What is opened and connected to, by Python and by FFmpeg's own code: files of a folder, and a port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder, list[str]()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]
        libc = ctypes.CDLL(None, use_errno=True)
        self.queue: int = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self.queue, os.fsencode(folder), IN_OPEN) >= 0
        self.listening = False
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.listening and event in ("open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
            self.python.append(f"{event} {arguments[0]}")

    def seen(self, use: Callable[[], Any]) -> set[str]:
        """What a call opens in the folder, "connected", and what Python notices."""
        self.python.clear()
        list(self._opened())  # what came before
        self.listening = True
        try:
            use()
        finally:
            self.listening = False
        found = set(self._opened()) | set(self.python)
        try:
            self.server.accept()[0].close()
        except BlockingIOError:
            return found
        return found | {"connected"}

    def _opened(self) -> Iterator[str]:
        try:
            events = os.read(self.queue, 2**16)
        except BlockingIOError:
            return
        while events:
            length = struct.unpack_from("iIII", events)[3]
            yield events[16 : 16 + length].rstrip(b"\0").decode()
            events = events[16 + length :]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    if sys.platform != "linux":
        pytest.skip("files that C code opens are seen by inotify, which Linux has")
    found = Watch(tmp_path)
    yield found
    found.server.close()
    os.close(found.queue)


def refused(value: Any, message: str | None = None) -> None:
    with pytest.raises(DecodeError, match=message):
        Clips().prepare(value)


def atom(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def referring(file: bytes, path: str) -> bytes:
    """A QuickTime file that says, in an alias record, that its pictures are in another file."""
    name = path.encode()
    record = bytes(10) + b"\x03" + b"vol".ljust(27, b"\0") + bytes(12)
    record += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    record += struct.pack(">hH", 2, len(name)) + name + b"\0" * (len(name) % 2) + struct.pack(">hH", -1, 0)
    place = file.index(b"dref") - 4
    old = struct.unpack(">I", file[place : place + 4])[0]
    new = atom(b"dref", struct.pack(">II", 0, 1) + atom(b"alis", struct.pack(">I", 0) + record))
    changed = bytearray(file[:place] + new + file[place + old :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        begin = changed.index(kind) - 4
        size = struct.unpack(">I", changed[begin : begin + 4])[0]
        changed[begin : begin + 4] = struct.pack(">I", size + len(new) - old)
    return bytes(changed)


def test_no_other_file_is_opened_for_a_data_reference(
    tmp_path: Path,
    watch: Watch,
    movie: Callable[..., bytes],
    steps: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = movie(steps(8))
    Path("secret.mp4").write_bytes(file)
    attack = referring(file.replace(b"mdat", b"free"), "secret.mp4")
    Path("attack.mp4").write_bytes(attack)

    def believed() -> None:
        with av.open("attack.mp4", options={"enable_drefs": "1"}) as container:
            assert len(list(container.decode(video=0))) == 8

    assert watch.seen(believed) == {"attack.mp4", "secret.mp4"}  # so it would work, and the watch would see it
    assert watch.seen(lambda: refused(attack)) == set()
    found = watch.seen(lambda: refused(Path("attack.mp4")))
    assert found == {"attack.mp4", "open attack.mp4"}


def test_ffmpeg_may_open_nothing_even_where_it_would_follow_references(
    tmp_path: Path,
    watch: Watch,
    movie: Callable[..., bytes],
    steps: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mmsdk_video import files

    monkeypatch.chdir(tmp_path)
    file = movie(steps(8))
    Path("secret.mp4").write_bytes(file)
    opened = av.open

    def careless(*arguments: Any, options: dict[str, str], **rest: Any) -> Any:
        return opened(*arguments, options={"enable_drefs": "1", "use_absolute_path": "1"}, **rest)

    monkeypatch.setattr(files.av, "open", careless)
    message = r"it refers to another file or address, 'secret\.mp4'"
    assert watch.seen(lambda: refused(referring(file, "secret.mp4"), message)) == set()


def test_playlists_and_addresses_are_not_followed(
    tmp_path: Path,
    watch: Watch,
    movie: Callable[..., bytes],
    steps: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = movie(steps(8))
    Path("secret.mp4").write_bytes(file)
    address = f"http://127.0.0.1:{watch.port}/a.mp4"
    playlists = [
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{where}\n#EXT-X-ENDLIST\n".encode()
        for where in (address, "secret.mp4", f"file://{tmp_path}/secret.mp4")
    ]
    playlists += [
        b"ffconcat version 1.0\nfile 'secret.mp4'\n",
        f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation>'
        f"<BaseURL>{address}</BaseURL></Representation></AdaptationSet></Period></MPD>".encode(),
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        f"[InternetShortcut]\nURL={address}\n".encode(),
        f"[Reference]\nRef1={address}\n".encode(),
    ]
    playlists += [atom(b"ftyp", b"mp42") + text for text in playlists]

    def believed() -> None:
        with pytest.raises(av.error.FFmpegError):
            av.open(address, timeout=0.5)

    assert "connected" in watch.seen(believed)  # the watch sees it where FFmpeg does
    for number, text in enumerate(playlists):
        path = Path(f"list{number}.mp4")
        path.write_bytes(text)
        assert watch.seen(lambda text=text: read_both(text)) == set()  # type: ignore[misc]
        found = watch.seen(lambda path=path: read_both(path))  # type: ignore[misc]
        assert found == {path.name, f"open {path}"}
    for name in (address, "file:secret.mp4", "concat:secret.mp4|secret.mp4", "subfile,,start,0,end,9,,:secret.mp4",
                 "data:video/mp4;base64,AAAA", "cache:secret.mp4", "secret%03d.mp4", "rtsp://127.0.0.1/a"):  # fmt: skip
        assert watch.seen(lambda name=name: read_both(name, "there is no file")) == set()  # type: ignore[misc]
