from skin_lesions.deployment.app.uploads import take_uploads


def uploaded(folder, name, data=b"data", subfolder="hash"):
    path = folder / subfolder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return {"path": str(path), "orig_name": name}


def test_uploads_are_read_and_deleted_with_their_folders(tmp_path):
    files = [uploaded(tmp_path, "a.png", b"a"), uploaded(tmp_path, "b.png", b"b", "other")]
    taken = take_uploads(files, tmp_path, 100)
    assert [(upload.file, upload.data) for upload in taken] == [("a.png", b"a"), ("b.png", b"b")]
    assert list(tmp_path.iterdir()) == []


def test_not_more_than_the_limit_is_read(tmp_path):
    [upload] = take_uploads([uploaded(tmp_path, "a.png", bytes(50))], tmp_path, 10)
    assert upload.size == 50
    assert len(upload.data) == 10


def test_two_uploads_with_the_same_name_and_content_are_both_read(tmp_path):
    file = uploaded(tmp_path, "a.png")
    taken = take_uploads([file, file], tmp_path, 100)
    assert [upload.data for upload in taken] == [b"data", b"data"]


def test_upload_that_another_tab_has_deleted_has_no_data(tmp_path):
    [upload] = take_uploads([{"path": str(tmp_path / "x" / "a.png")}], tmp_path, 100)
    assert upload.data is None


def test_files_outside_of_the_folder_are_neither_read_nor_deleted(tmp_path):
    folder = tmp_path / "uploads"
    folder.mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    link = folder / "link.png"
    link.symlink_to(secret)
    names = [secret, folder / ".." / "secret.png", link]
    taken = take_uploads([{"path": str(name)} for name in names], folder, 100)
    assert [upload.data for upload in taken] == [None, None, None]
    assert secret.read_bytes() == b"secret"


def test_names_are_safe_to_print_and_without_folders(tmp_path):
    file = uploaded(tmp_path, "a.png") | {"orig_name": "../x/\x1b[2J\u202e.png"}
    [upload] = take_uploads([file], tmp_path, 100)
    assert upload.file == "\\x1b[2J\\u202e.png"
