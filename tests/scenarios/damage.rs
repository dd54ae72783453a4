//! Every file of a vault, damaged in every way that was thought of: the vault mends it or refuses
//! with the way out, `check` names it, and nothing acknowledged is silently missing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{World, copy_dir};

/// What happens to a file or directory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum How {
    /// Cut to so many bytes.
    Cut(u64),
    CutInHalf,
    LastByteCut,
    FirstBitFlipped,
    MiddleBitFlipped,
    LastBitFlipped,
    /// A bit flipped behind these words.
    FlippedBehind(&'static str),
    /// A bit flipped in the small bundle.
    FlippedInBundle,
    Removed,
    /// As it was earlier.
    Older,
    /// There is a directory of its name instead.
    Directory,
    /// Others may read it.
    Exposed,
    /// Something is left there that a crash could have left.
    Left,
}
use How::*;

/// What `escrowd serve` does.
#[derive(Debug, Clone, Copy)]
enum Serve {
    /// It starts, and everything that was acknowledged is handed out.
    Starts,
    /// It starts, keeps this bundle back, and hands out the others.
    KeepsBack(Bundle),
    /// It starts, as it cannot know better; clients that have seen more refuse it.
    IsRefused,
    /// It says why not, in these words and with a hint.
    Refuses(&'static str),
}
use Serve::*;

/// What `escrowd check` says.
#[derive(Debug, Clone, Copy)]
enum Check {
    Clean,
    Names(&'static str),
    /// Clean or not: nothing hangs on it, and a flipped bit may hit nothing in use.
    Either,
}
use Check::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bundle {
    Small,
    Large,
}

pub(super) const CUTS: [How; 5] = [Cut(0), Cut(1), Cut(20), CutInHalf, LastByteCut];
pub(super) const FLIPS: [How; 3] = [FirstBitFlipped, MiddleBitFlipped, LastBitFlipped];

/// Which files, what may happen to them together, what comes of it, and why.
type Row = (&'static [&'static str], Vec<How>, Serve, Check, &'static str);

/// `LARGE` stands for the large bundle's name, `SNAP` for sled's snapshot.
fn table() -> Vec<Row> {
    let all = [&CUTS[..], &FLIPS, &[Removed, Directory]].concat();
    let (events, blobs) = ("events-000001.log", "blobs-000001.log");
    vec![
        (
            &["escrowd.toml"],
            vec![Cut(0), Cut(1), Cut(20), CutInHalf, FirstBitFlipped, Removed, Directory],
            Refuses("escrowd.toml"),
            Names("escrowd.toml"),
            "without its configuration a vault has no name",
        ),
        (
            &["escrowd.toml"],
            vec![FlippedBehind("origin = \"")],
            Refuses("escrowd.toml"),
            Names("escrowd.toml"),
            "under another name its statements would be void",
        ),
        (
            &["keys/ledger.key"],
            [&all[..], &[Exposed]].concat(),
            Refuses("ledger.key"),
            Names("ledger.key"),
            "heads signed with another key would be believed by nobody",
        ),
        (
            &["keys/ca.key"],
            vec![Cut(0), Cut(20), CutInHalf, FirstBitFlipped, MiddleBitFlipped, Removed, Exposed],
            Refuses("ca.key"),
            Names("ca.key"),
            "without it nobody can be let in",
        ),
        (
            &["keys/ca.crt"],
            vec![Cut(0), Cut(20), CutInHalf, FirstBitFlipped, MiddleBitFlipped, Removed, Directory],
            Refuses("ca.crt"),
            Names("ca.crt"),
            "it is what clients have pinned",
        ),
        (
            &["keys/tsa.key"],
            [&CUTS[..4], &[FirstBitFlipped, MiddleBitFlipped, Removed, Directory, Exposed]]
                .concat(),
            Refuses("tsa.key"),
            Names("tsa.key"),
            "another is made openly, never because one was lost",
        ),
        (
            &["keys/tsa.crt"],
            [&CUTS[..4], &[FirstBitFlipped, MiddleBitFlipped, Directory, Removed]].concat(),
            Refuses("tsa.crt"),
            Names("tsa.crt"),
            "the ledger tells of it, and tokens that don't bring it along hang on it",
        ),
        (
            &["journal/head"],
            vec![Cut(0), Cut(1), Cut(20), Removed, Directory],
            Refuses("head"),
            Names("head"),
            "without a head it is not known what was acknowledged",
        ),
        (
            &["journal/head"],
            [&FLIPS[..], &[CutInHalf, LastByteCut, Older]].concat(),
            Starts,
            Clean,
            "one of its two slots is enough, and it may lag",
        ),
        (
            &["journal/events-000001.log"],
            [&all[..], &[Older]].concat(),
            Refuses(events),
            Names(events),
            "what was acknowledged is missing or wrong",
        ),
        (
            &["journal/blobs-000001.log"],
            [&CUTS[..], &[FirstBitFlipped, Removed, Directory, Older]].concat(),
            Refuses(blobs),
            Names(blobs),
            "objects that were acknowledged are missing",
        ),
        (
            &["journal/blobs-000001.log"],
            vec![FlippedInBundle],
            KeepsBack(Bundle::Small),
            Names(blobs),
            "old objects are not read at start; what is wrong is never handed out",
        ),
        (
            &["journal/events-000001.log", "journal/head"],
            vec![Older],
            Refuses("not the journal"),
            Names("not the journal"),
            "the index has seen more than this journal has",
        ),
        (
            &["journal"],
            vec![Older],
            Refuses("not the journal"),
            Names("not the journal"),
            "the same: to go on would be to sign a second history",
        ),
        (
            &["journal", "sled"],
            vec![Older],
            IsRefused,
            Clean,
            "nothing here has seen more, but clients have",
        ),
        (&[""], vec![Older], IsRefused, Clean, "a whole vault of an earlier day"),
        (
            &["journal", "sled"],
            vec![Removed],
            Refuses("head"),
            Names("head"),
            "a vault never begins anew by itself",
        ),
        (&["sled/db"], [&all[..], &[Older]].concat(), Starts, Either, "an index is made again"),
        (&["sled/conf"], [&all[..], &[Older]].concat(), Starts, Either, "the same"),
        (&["sled/SNAP"], all.clone(), Starts, Either, "the same"),
        (&["sled"], vec![Removed, Older, Directory], Starts, Either, "the same"),
        (
            &["bundles/LARGE.age"],
            all.clone(),
            KeepsBack(Bundle::Large),
            Names("LARGE"),
            "every byte has a checksum",
        ),
        (
            &["bundles/LARGE.sums"],
            all.clone(),
            KeepsBack(Bundle::Large),
            Names("LARGE"),
            "and the checksums have one, in the journal",
        ),
        (&["bundles"], vec![Removed], KeepsBack(Bundle::Large), Names("LARGE"), "all are missing"),
        (&["operator"], vec![Removed], Starts, Clean, "it is a home, not a part of the vault"),
        (&["lock", "reserve"], vec![Removed, Left], Starts, Clean, "made again where missing"),
        (&["lock"], vec![Directory], Refuses("lock"), Names("lock"), "something else is there"),
        (&["reserve"], vec![Directory], Refuses("reserve"), Names("reserve"), "the same"),
        (
            &["journal/events-000002.log.new", "bundles/staging/left", "sled.damaged-1"],
            vec![Left],
            Starts,
            Clean,
            "what a crash leaves is cleared or passed by",
        ),
    ]
}

/// A vault with a past, and what was acknowledged in it.
struct Life {
    world: World,
    agreement: String,
    /// Digests of the statements that were acknowledged.
    acknowledged: BTreeSet<String>,
    /// A small and a large bundle: deposit, released request, content.
    bundles: Vec<(Bundle, String, String, Vec<u8>)>,
    /// Where the small bundle begins in the blobs.
    small_at: usize,
}

impl Life {
    fn lead() -> Self {
        let (mut world, agreement) = World::with_agreement();
        let mut bundles = Vec::new();
        for (size, length) in [(Bundle::Small, 1_000), (Bundle::Large, 400_000u32)] {
            let content: Vec<u8> = (0..length).map(|i| ((i * 7) >> 3) as u8).collect();
            let deposit = world.deposit(&agreement, &content);
            let request = world.request(&deposit, "joint");
            world.approve("trade-secret-center", &request);
            world.approve("hanbit-parts", &request);
            bundles.push((size, deposit, request, content));
            if size == Bundle::Small {
                world.stop();
                copy_dir(&world.data(), &world.path("older"));
                world.serve();
            }
        }
        let shown = world.escrow("hanbit-parts", &["show", &bundles[0].1]).record();
        let wanted = shown["sha256"].as_str().unwrap().to_owned();
        let size = shown["size"].as_u64().unwrap() as usize;
        let mut life =
            Self { world, agreement, acknowledged: BTreeSet::new(), bundles, small_at: 0 };
        life.acknowledged = life.statements().unwrap();
        assert!(life.acknowledged.len() > 10, "{:?}", life.acknowledged);
        life.world.stop();
        copy_dir(&life.world.data(), &life.world.path("whole"));
        copy_dir(&life.world.path("homes"), &life.world.path("pristine"));
        let blobs = fs::read(life.world.data().join("journal/blobs-000001.log")).unwrap();
        let found = blobs.windows(size).position(|window| {
            window.starts_with(b"age-encryption.org/v1")
                && hex::encode(Sha256::digest(window)) == wanted
        });
        life.small_at = found.unwrap();
        life
    }

    /// The statements that the agreement's stream has, as its beneficiary verifies it.
    fn statements(&self) -> Result<BTreeSet<String>, String> {
        let audit = self.world.escrow("orient-display", &["audit", &self.agreement]);
        if audit.code != 0 {
            return Err(audit.refusal());
        }
        let digests = audit.out.iter().filter_map(|line| line["statement_sha256"].as_str());
        Ok(digests.map(str::to_owned).collect())
    }

    /// The vault and the homes as they were; nothing is served.
    fn begin_again(&self, data: &str) {
        for (from, into) in [("whole", data), ("pristine", "homes")] {
            drop(fs::remove_dir_all(self.world.path(into)));
            copy_dir(&self.world.path(from), &self.world.path(into));
        }
    }

    fn name(&self, text: &str) -> String {
        let sled = fs::read_dir(self.world.path("whole/sled")).unwrap();
        let names = sled.map(|item| item.unwrap().file_name().into_string().unwrap());
        let snapshot = names.filter(|name| name.starts_with("snap.")).max().unwrap();
        text.replace("LARGE", &self.bundles[1].1).replace("SNAP", &snapshot)
    }

    fn damage(&self, paths: &[&str], how: How) {
        self.begin_again("vault");
        for path in paths {
            let path = self.name(path);
            let (older, path) =
                (self.world.path("older").join(&path), self.world.data().join(path));
            if how == FlippedInBundle {
                flip(&path, self.small_at + 300);
            } else if how == Older {
                remove(&path);
                if older.is_dir() {
                    copy_dir(&older, &path);
                } else {
                    fs::copy(&older, &path).unwrap();
                }
            } else {
                damage(&path, how);
            }
        }
    }

    fn try_one(&mut self, what: &str, paths: &[&str], how: How, serve: Serve, check: Check) {
        self.damage(paths, how);
        let checked = self.world.escrowd(&["check"]);
        let told = &checked.err;
        match check {
            Clean => assert_eq!(checked.code, 0, "{what}: {told}"),
            Names(words) => {
                assert_eq!(checked.code, 1, "{what}: {told}");
                assert!(told.contains(&self.name(words)), "{what}: {told}");
                assert!(told.contains("hint: "), "{what}: {told}");
            }
            Either => assert!([0, 1].contains(&checked.code), "{what}: {told}"),
        }
        // A check may have mended something: what `serve` does is tried on another copy.
        self.damage(paths, how);
        self.world.said.forget();
        let served = self.world.try_serve();
        if let Refuses(words) = serve {
            let said = served.err().unwrap_or_else(|| panic!("{what}: it starts"));
            assert!(said.contains(words) && said.contains("hint: "), "{what}: {said}");
            return;
        }
        served.unwrap_or_else(|said| panic!("{what}: {said}"));
        let statements = self.statements();
        if let IsRefused = serve {
            assert_eq!(statements, Err("SET_BACK".to_owned()), "{what}");
            return self.world.kill();
        }
        let missing: Vec<_> = self.acknowledged.difference(&statements.unwrap()).cloned().collect();
        assert!(missing.is_empty(), "{what}: missing {missing:?}");
        for (bundle, _, request, content) in &self.bundles {
            let out = self.world.path("out");
            drop(fs::remove_dir_all(&out));
            let place = out.display().to_string();
            let retrieve = ["retrieve", request, "--out", &place, "--yes"];
            let got = self.world.escrow("orient-display", &retrieve);
            match serve {
                KeepsBack(kept) if kept == *bundle => {
                    assert_eq!(got.refusal(), "DAMAGED", "{what}: {bundle:?}");
                    assert!(!out.exists(), "{what}: nothing half is left");
                }
                Starts | KeepsBack(_) | IsRefused | Refuses(_) => {
                    assert_eq!(got.code, 0, "{what}: {bundle:?}: {}", got.err);
                    assert!(fs::read(out.join("recipe.txt")).unwrap() == *content, "{what}");
                }
            }
        }
        self.world.kill();
    }
}

/// Damages a file in a way that takes nothing but the file.
pub(super) fn damage(path: &Path, how: How) {
    let cut = |length: u64| {
        fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
    };
    let length = fs::metadata(path).map_or(0, |data| data.len());
    match how {
        Cut(length) => cut(length),
        CutInHalf => cut(length / 2),
        LastByteCut => cut(length - 1),
        FirstBitFlipped => flip(path, 0),
        MiddleBitFlipped => flip(path, length as usize / 2),
        LastBitFlipped => flip(path, length as usize - 1),
        FlippedBehind(words) => {
            let text = fs::read_to_string(path).unwrap();
            flip(path, text.find(words).unwrap() + words.len());
        }
        Removed => remove(path),
        Directory => {
            remove(path);
            fs::create_dir(path).unwrap();
        }
        Exposed => fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap(),
        Left => fs::write(path, b"left over").unwrap(),
        FlippedInBundle | Older => unreachable!("{how:?} takes a life"),
    }
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn remove(path: &Path) {
    match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

#[test]
fn promise_9_damage_anywhere_is_mended_or_named_and_never_passed_over() {
    let mut life = Life::lead();
    let (mut failed, mut tried) = (Vec::new(), 0);
    for (row, (paths, hows, serve, check, why)) in table().into_iter().enumerate() {
        for how in wanted(row, paths, &hows) {
            let what = format!("{} {how:?} ({why})", paths.join(" and "));
            let trial = AssertUnwindSafe(|| life.try_one(&what, paths, how, serve, check));
            if catch_unwind(trial).is_err() {
                failed.push(what);
                life.world.server.is_some().then(|| life.world.kill());
            }
            tried += 1;
        }
    }
    eprintln!("{tried} damages tried");
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Which of these damages are tried: one a row in the normal run, `ESCROW_TEST_DAMAGE=all` for all,
/// or all of a file that is named.
pub(super) fn wanted(row: usize, files: &[&str], hows: &[How]) -> Vec<How> {
    match std::env::var("ESCROW_TEST_DAMAGE").ok() {
        None => vec![hows[row % hows.len()]],
        Some(wanted) if wanted == "all" || files.contains(&&*wanted) => hows.to_vec(),
        Some(_) => Vec::new(),
    }
}
