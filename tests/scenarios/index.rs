//! The index can be thrown away: deleted, damaged or out of date, it is mended without loss.

use std::fs;

use super::{World, files_below, id};

#[test]
fn promise_7_a_lost_or_damaged_index_is_made_again() {
    let (mut world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let request = world.request(&deposit, "joint");
    world.stop();
    let sled = world.data().join("sled");
    let damages: [(&str, &dyn Fn()); 4] = [
        ("deleted", &|| fs::remove_dir_all(&sled).unwrap()),
        ("emptied", &|| files_below(&sled).iter().for_each(|path| fs::write(path, "").unwrap())),
        ("overwritten", &|| {
            files_below(&sled).iter().for_each(|path| {
                let length = fs::metadata(path).unwrap().len() as usize;
                fs::write(path, vec![0xa5; length]).unwrap();
            });
        }),
        ("cut short", &|| {
            files_below(&sled).iter().for_each(|path| {
                let bytes = fs::read(path).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            });
        }),
    ];
    for (how, damage) in damages {
        damage();
        world.serve();
        let listed = world.escrow("orient-display", &["deposits", &agreement]).records();
        assert_eq!(listed.iter().map(id).collect::<Vec<_>>(), [deposit.as_str()], "{how}");
        assert_eq!(world.state("orient-display", &request), "open", "{how}");
        world.stop();
        let checked = world.escrowd(&["check"]);
        assert_eq!(checked.code, 0, "{how}: {}", checked.err);
    }
    let rebuilt = world.escrowd(&["rebuild"]);
    assert_eq!(rebuilt.code, 0, "{}", rebuilt.err);
    world.serve();
    world.approve("trade-secret-center", &request);
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    let busy = world.escrowd(&["check"]);
    assert_eq!(busy.code, 1, "a vault that is served is not checked");
    assert!(busy.err.contains("hint"), "{}", busy.err);
}

#[test]
fn promise_9_a_damaged_journal_is_refused_with_the_way_out() {
    let (mut world, agreement) = World::with_agreement();
    world.deposit(&agreement, "recipe");
    world.stop();
    let journal = files_below(&world.data().join("journal"));
    let events = journal.iter().find(|path| path.to_string_lossy().contains("events")).unwrap();
    let whole = fs::read(events).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(events, &flipped).unwrap();
    let checked = world.escrowd(&["check"]);
    assert_eq!(checked.code, 1);
    assert!(checked.err.contains("events-"), "{}", checked.err);
    let said = world.try_serve().unwrap_err();
    assert!(said.contains("events-") && said.contains("backup"), "{said}");
    fs::write(events, &whole).unwrap();
    world.serve();
}
