//! Damaged keys: of a vault that is sealed, and in the operator's home.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::damage::How::*;
use super::damage::{CUTS, FLIPS, damage, wanted};
use super::{World, copy_dir};

#[test]
fn damage_in_the_keys_of_a_sealed_vault_is_named_though_the_passphrase_is_right() {
    let mut world = World::new();
    world.stop();
    let phrase = world.file("passphrase", "battery staple\n");
    fs::set_permissions(&phrase, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_dir_all(world.data()).unwrap();
    let address = world.address.clone();
    let opened = ["--passphrase-file", &phrase];
    let made = [&["init", "--public-address", &address][..], &opened].concat();
    assert_eq!(world.escrowd(&made).code, 0);
    copy_dir(&world.data(), &world.path("whole"));
    let all = [&CUTS[..], &FLIPS, &[Removed, Directory, Exposed]].concat();
    for (row, file) in
        ["keys/seal.age", "keys/ca.key", "keys/ledger.key", "keys/tsa.key"].into_iter().enumerate()
    {
        let name = file.trim_start_matches("keys/");
        for how in wanted(row, &[file], &all) {
            fs::remove_dir_all(world.data()).unwrap();
            copy_dir(&world.path("whole"), &world.data());
            damage(&world.data().join(file), how);
            let checked = world.escrowd(&[&["check"][..], &opened].concat());
            assert_eq!(checked.code, 1, "{file} {how:?}: {}", checked.err);
            world.said.forget();
            let said = world.try_serve_with(&opened).unwrap_err();
            for told in [checked.err, said] {
                assert!(told.contains(name), "{file} {how:?}: {told}");
                let helps = told.contains("backup") || told.contains("who could read it");
                assert!(helps && told.contains("hint: "), "{file} {how:?}: {told}");
            }
        }
    }
    fs::remove_dir_all(world.data()).unwrap();
    copy_dir(&world.path("whole"), &world.data());
    world.serve_with(&opened);
}

#[test]
fn damage_in_the_operators_home_is_named_by_it_and_stops_nobody_else() {
    let mut world = World::new();
    world.join("hanbit-parts", "minji");
    world.stop();
    copy_dir(&world.data().join("operator"), &world.path("whole"));
    world.serve();
    let cuts = [Cut(0), Cut(1), Cut(20), CutInHalf];
    let key = [&cuts[..], &FLIPS, &[LastByteCut, Removed, Directory, Exposed]].concat();
    let file = [&cuts[..], &[FirstBitFlipped, Removed, Directory]].concat();
    for (row, (name, hows)) in [
        ("statement.key", &key),
        ("age.key", &file),
        ("tls.key", &key),
        ("tls.crt", &file),
        ("vault.json", &file),
        ("member.json", &file),
    ]
    .into_iter()
    .enumerate()
    {
        for how in wanted(row, &[&format!("operator/{name}")], hows) {
            fs::remove_dir_all(world.home("operator")).unwrap();
            copy_dir(&world.path("whole"), &world.home("operator"));
            damage(&world.home("operator").join(name), how);
            let invite = ["invite", "--org", "orient-display", "--member", "junho", "--yes"];
            let refused = world.escrow("operator", &invite);
            assert_ne!(refused.refusal(), "UNTRUE", "{name} {how:?}: it is not the vault's fault");
            eprintln!("{name} {how:?}: {}", refused.err.trim());
            world.escrow("hanbit-parts", &["whoami"]).record();
        }
    }
    world.stop();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 0, "it is a home, not a part of the vault: {}", checked.err);
    world.serve();
}
