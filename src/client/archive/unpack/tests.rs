//! Archives as others pack them, well and ill.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::SystemTime;

use proptest::prelude::*;
use tar::EntryType;

use super::*;
use crate::client::archive::pack::Plan;

fn entry(bytes: &mut tar::Builder<Vec<u8>>, kind: EntryType, name: &[u8], data: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(1);
    if kind.is_symlink() || kind.is_hard_link() {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    bytes.append(&header, data).unwrap();
}

fn archive(entries: &[(EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    entries.iter().for_each(|(kind, name)| entry(&mut builder, *kind, name, b""));
    builder.into_inner().unwrap()
}

fn attempt(bytes: &[u8], limits: Limits) -> Result<Unpacked, UnpackFault> {
    let dir = tempfile::tempdir().unwrap();
    let outcome = unpack(bytes, &dir.path().join("out"), limits);
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, usize::from(outcome.is_ok()), "all of it or nothing");
    outcome
}

#[test]
fn hostile_archives_leave_nothing() {
    use EntryType::{
        Block, Char, Directory, Fifo, GNULongName, GNUSparse, Link, Regular, Symlink, XGlobalHeader,
    };
    for (what, entries, says) in [
        ("absolute", &[(Regular, &b"/etc/cron.d/x"[..])][..], "it is absolute"),
        ("parent", &[(Regular, b"../x")], "it leads elsewhere"),
        ("inner parent", &[(Regular, b"a/../../x")], "it leads elsewhere"),
        ("symlink", &[(Symlink, b"x")], "neither a file nor a directory"),
        ("hard link", &[(Link, b"x")], "neither a file nor a directory"),
        ("device", &[(Char, b"x")], "neither a file nor a directory"),
        ("block device", &[(Block, b"x")], "neither a file nor a directory"),
        ("pipe", &[(Fifo, b"x")], "neither a file nor a directory"),
        ("sparse", &[(GNUSparse, b"x")], "cannot be read"),
        ("attributes for all", &[(XGlobalHeader, b"x")], "neither a file nor a directory"),
        ("a name for nothing", &[(GNULongName, b"x")], "cannot be read"),
        ("unknown", &[(EntryType::new(b'Z'), b"x")], "neither a file nor a directory"),
        ("twice", &[(Regular, b"x"), (Regular, b"x")], "twice"),
        ("twice, dotted", &[(Regular, b"x"), (Regular, b"./x")], "twice"),
        ("twice, two slashes", &[(Regular, b"a/b"), (Regular, b"a//b")], "twice"),
        ("twice, inner dot", &[(Regular, b"a/b"), (Regular, b"a/./b")], "twice"),
        ("twice, with a slash", &[(Directory, b"a"), (Directory, b"a/")], "twice"),
        ("directory twice", &[(Directory, b"x/"), (Directory, b"x/")], "twice"),
        ("file as directory", &[(Regular, b"x"), (Regular, b"x/y")], "twice"),
        ("directory as file", &[(Regular, b"x/y"), (Regular, b"x")], "twice"),
        ("not UTF-8", &[(Regular, b"\xff")], "not UTF-8"),
        ("escape sequence", &[(Regular, b"\x1b[2J")], "deceive the eye"),
        ("bidirectional", &[(Regular, "\u{202e}gnp".as_bytes())], "deceive the eye"),
        ("empty", &[(Regular, b"./")], "it is empty"),
    ] {
        let fault = attempt(&archive(entries), Limits::default()).unwrap_err();
        assert!(fault.to_string().contains(says), "{what}: {fault}");
    }
}

#[test]
fn archives_are_bounded_and_whole() {
    let mut builder = tar::Builder::new(Vec::new());
    entry(&mut builder, EntryType::Regular, b"a/b", &[7; 1000]);
    let good = builder.into_inner().unwrap();
    let limits = |entries_max, bytes_max| Limits { entries_max, bytes_max, ..Limits::default() };
    assert_eq!(attempt(&good, limits(2, 1000)).unwrap(), Unpacked { entries: 2, bytes: 1000 });
    let much = attempt(&good, limits(2, 999)).unwrap_err();
    assert!(matches!(much, UnpackFault::TooMuch("bytes")));
    let huge = attempt(&archive(&[(EntryType::Regular, b"a")]), limits(0, 0)).unwrap_err();
    assert!(matches!(huge, UnpackFault::TooMuch("files and directories")));
    // `a/b` and the directory it lies in.
    let paths = |path_bytes_max| Limits { path_bytes_max, ..Limits::default() };
    assert!(attempt(&good, paths(4)).is_ok());
    let long = attempt(&good, paths(3)).unwrap_err();
    assert!(matches!(long, UnpackFault::TooMuch("bytes in paths")));
    assert!(matches!(attempt(&good[..900], Limits::default()), Err(UnpackFault::Read(_))));
    let mut trailing = good.clone();
    trailing.extend(b"more");
    assert!(matches!(attempt(&trailing, Limits::default()), Err(UnpackFault::Trailing)));
    assert!(attempt(b"not an archive, but quite long", Limits::default()).is_err());
}

/// An archive of one file, described by an entry of this kind, claimed size and content.
fn described(kind: EntryType, claimed: u64, description: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_path("description").unwrap();
    header.set_entry_type(kind);
    header.set_size(claimed);
    header.set_cksum();
    builder.append(&header, description).unwrap();
    entry(&mut builder, EntryType::Regular, b"file", b"content");
    builder.into_inner().unwrap()
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    // Its length counts itself: three digits, two blanks and a line break are six.
    format!("{:03} {key}={value}\n", key.len() + value.len() + 6).into_bytes()
}

#[test]
fn descriptions_are_bounded_before_they_are_read() {
    use EntryType::{GNULongLink, GNULongName, XHeader};
    let padding = |bytes: usize| attribute("comment", &"x".repeat(700)).repeat(bytes / 700);
    for (what, kind, claimed, description, says) in [
        ("a long name", GNULongName, None, vec![b'n'; 200], ""),
        ("a longer one than is accepted", GNULongName, None, vec![b'n'; 5_000], "4096 bytes"),
        ("a huge one", GNULongName, None, vec![b'n'; 70_000], "name and attributes"),
        ("one said to be 20 GiB", GNULongName, Some(20 << 30), vec![b'n'; 1 << 20], "name and"),
        ("a huge link", GNULongLink, Some(20 << 30), vec![b'n'; 1 << 20], "name and attributes"),
        ("some attributes", XHeader, None, padding(7_000), ""),
        ("huge attributes", XHeader, None, padding(70_000), "name and attributes"),
        ("attributes said to be 20 GiB", XHeader, Some(20 << 30), padding(1 << 20), "name and"),
        ("holes", XHeader, None, attribute("GNU.sparse.map", "0,1"), "sparse"),
        ("holes, anew", XHeader, None, attribute("GNU.sparse.major", "1"), "sparse"),
        ("a path in an attribute", XHeader, None, attribute("path", "../x"), "leads elsewhere"),
        ("attributes that are none", XHeader, None, b"999 x".to_vec(), "cannot be read"),
    ] {
        let claimed = claimed.unwrap_or(description.len() as u64);
        let outcome = attempt(&described(kind, claimed, &description), Limits::default());
        match outcome {
            Ok(_) => assert_eq!(says, "", "{what} was unpacked"),
            Err(fault) => {
                let refused = !says.is_empty() && fault.to_string().contains(says);
                assert!(refused, "{what}: {fault}");
            }
        }
    }
}

#[test]
fn names_differ_as_they_do_on_linux_and_times_are_what_the_disk_can_hold() {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, mtime) in [("a", 0), ("A", 1 << 33), ("b", u64::MAX)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mtime(mtime);
        builder.append_data(&mut header, name, io::empty()).unwrap();
    }
    let out = dir.path().join("out");
    unpack(&builder.into_inner().unwrap()[..], &out, Limits::default()).unwrap();
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
    let modified = |name: &str| fs::metadata(out.join(name)).unwrap().modified().unwrap();
    assert_eq!(modified("a"), SystemTime::UNIX_EPOCH);
    assert!(modified("b") >= modified("A"));
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        unpack(&archive(&[])[..], dir.path(), Limits::default()),
        Err(UnpackFault::Exists(_))
    ));
    let file = dir.path().join("file");
    assert_eq!(write_single(&b"one"[..], &file).unwrap(), 3);
    assert!(matches!(write_single(&b"two"[..], &file), Err(UnpackFault::Exists(_))));
    assert_eq!(fs::read(&file).unwrap(), b"one");
}

#[test]
fn what_stock_tar_packs_is_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    let long = format!("{}/{}", "n".repeat(60), "m".repeat(60));
    fs::create_dir_all(top.join(&long)).unwrap();
    fs::write(top.join(&long).join("file"), "content").unwrap();
    fs::set_permissions(top.join(&long).join("file"), fs::Permissions::from_mode(0o4755)).unwrap();
    for format in ["gnu", "ustar", "pax"] {
        let tar = Command::new("tar")
            .args(["-c", "--format", format, "-C"])
            .arg(dir.path())
            .args(["--exclude", "out-*", "top"])
            .output()
            .unwrap();
        assert!(tar.status.success());
        let out = dir.path().join(format!("out-{format}"));
        unpack(&tar.stdout[..], &out, Limits::default()).unwrap();
        let file = out.join("top").join(&long).join("file");
        assert_eq!(fs::read_to_string(&file).unwrap(), "content");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o755);
    }
}

#[test]
fn files_that_stock_tar_packs_with_holes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join("holes")).unwrap().set_len(1 << 20).unwrap();
    for format in ["gnu", "pax"] {
        let mut tar = Command::new("tar");
        tar.args(["-c", "--sparse", "--format", format, "-C"]).arg(dir.path()).arg("holes");
        let packed = tar.output().unwrap();
        assert!(packed.status.success());
        let fault = attempt(&packed.stdout, Limits::default()).unwrap_err();
        assert!(matches!(fault, UnpackFault::Sparse { .. }), "{format}: {fault}");
    }
}

#[test]
fn what_was_packed_comes_out_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    fs::create_dir_all(top.join("empty")).unwrap();
    fs::write(top.join("zero"), "").unwrap();
    fs::write(top.join("기판.txt"), vec![1; 70_000]).unwrap();
    let mut bytes = Vec::new();
    Plan::survey(std::slice::from_ref(&top), &[]).unwrap().write_to(&mut bytes).unwrap();
    let out = dir.path().join("out");
    unpack(&bytes[..], &out, Limits::default()).unwrap();
    let mut again = Vec::new();
    Plan::survey(&[out.join("top")], &[]).unwrap().write_to(&mut again).unwrap();
    assert_eq!(bytes, again, "names, contents, modes and times");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_it_panic(at in 0usize..1500, byte: u8, tail: Vec<u8>) {
        let mut builder = tar::Builder::new(Vec::new());
        entry(&mut builder, EntryType::Regular, b"a", &[7; 100]);
        let mut bytes = builder.into_inner().unwrap();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.extend(tail);
        let _ = attempt(&bytes, Limits { entries_max: 10, bytes_max: 10_000, path_bytes_max: 1_000 });
    }
}

#[test]
fn what_a_program_that_was_killed_has_left_is_removed_and_what_one_is_at_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (out, place) = (dir.path().join("out"), dir.path().join(".partial-out"));
    for is_single in [false, true] {
        fs::create_dir_all(place.join("content")).unwrap();
        fs::write(place.join("content/half"), "half").unwrap();
        let write = || match is_single {
            true => write_single(&b"one"[..], &out),
            false => unpack(&archive(&[])[..], &out, Limits::default()).map(|done| done.bytes),
        };
        let held = File::open(&place).unwrap();
        held.lock().unwrap();
        assert!(matches!(write(), Err(UnpackFault::Exists(at)) if at == place));
        assert!(place.join("content/half").exists());
        drop(held);
        write().unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(left, std::slice::from_ref(&out));
        match is_single {
            true => fs::remove_file(&out).unwrap(),
            false => fs::remove_dir_all(&out).unwrap(),
        }
    }
}
