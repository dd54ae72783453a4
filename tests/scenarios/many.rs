//! Many deposits: listed page by page, and looked at again without verifying what is known.

use std::fs;

use super::{World, id};

#[test]
fn deposits_are_listed_page_by_page_and_more_are_told_of() {
    let (world, agreement) = World::with_agreement();
    let made: Vec<_> =
        (0..5).map(|number| world.deposit(&agreement, format!("recipe {number}"))).collect();
    let (mut listed, mut pages) = (Vec::<String>::new(), 0);
    loop {
        let mut arguments = vec!["deposits", &agreement, "--limit", "2"];
        let last = listed.last().cloned();
        if let Some(last) = &last {
            arguments.extend(["--after", last]);
        }
        let page = world.escrow("orient-display", &arguments);
        let more = page.err.contains("go on with --after");
        let ids: Vec<_> = page.records().iter().map(id).collect();
        assert!((1..=2).contains(&ids.len()), "{ids:?}");
        listed.extend(ids);
        pages += 1;
        assert_eq!(more, listed.len() < made.len(), "page {pages}");
        if !more {
            break;
        }
    }
    assert_eq!((listed, pages), (made.clone(), 3), "the oldest first, each once");
    let all = world.escrow("orient-display", &["deposits", &agreement]);
    assert!(!all.err.contains("--after"), "{}", all.err);
    assert_eq!(all.records().iter().map(id).collect::<Vec<_>>(), made);
    let strange = world.escrow("orient-display", &["deposits", &agreement, "--after", "dep_zzzz"]);
    assert_eq!((strange.code, strange.refusal().as_str()), (1, "NOT_FOUND"));
    let none = world.escrow("orient-display", &["deposits", &agreement, "--limit", "0"]);
    assert_eq!(none.code, 2, "a page of nothing is a mistake");
}

/// What was verified before is not verified again, but only as long as it is that.
#[test]
fn promise_13_what_a_home_has_verified_counts_only_as_it_was() {
    let (world, agreement) = World::with_agreement();
    let deposit = world.deposit(&agreement, "recipe");
    let looked = world.escrow("orient-display", &["show", &deposit]);
    assert_eq!(looked.code, 0, "{}", looked.err);
    let streams = world.home("orient-display").join("streams");
    let log = streams.join(format!("{agreement}.log"));
    let proved = streams.join(format!("{agreement}.proved"));
    let (whole, stood) = (fs::read_to_string(&log).unwrap(), fs::read_to_string(&proved).unwrap());
    let count = whole.lines().count();
    assert_eq!(stood.split(' ').nth(1), Some(count.to_string().as_str()), "{stood}");
    // In the middle and near the end of each entry: of a statement, its key or its signature.
    let mut begin = 0;
    for line in whole.lines() {
        for at in [begin + line.len() / 2, begin + line.len() * 9 / 10] {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            fs::write(&log, &bytes).unwrap();
            let refused = world.escrow("orient-display", &["show", &deposit]);
            assert_eq!(refused.code, 1, "character {at} of {}: {}", whole.len(), refused.err);
        }
        begin += line.len() + 1;
    }
    fs::write(&log, &whole).unwrap();
    // Whatever says how far it was verified may be lost, or speak of something else.
    let other = stood.replace(|digit: char| digit.is_ascii_hexdigit(), "0");
    for said in ["", "nothing", other.as_str()] {
        fs::write(&proved, said).unwrap();
        assert_eq!(world.escrow("orient-display", &["show", &deposit]).code, 0, "{said}");
        assert_eq!(fs::read_to_string(&proved).unwrap(), stood, "{said}");
    }
}
