//! Times of tokens, how long they last, and chains of them.

use super::*;

#[test]
fn a_token_is_of_the_time_between_question_and_answer_give_or_take_the_clocks() {
    let (asked_at, skew) = (now(), Span::seconds(300));
    let came_at = asked_at.after(Span::seconds(60));
    let beside = |time: Timestamp, millis: i64| Timestamp::from_millis(time.as_millis() + millis);
    let world = World::new();
    let answer = world.answer(&request(&imprint(), None, true));
    let said = world.verify(&answer, &imprint()).unwrap();
    for (at, expected, why) in [
        (beside(asked_at, -300_001), false, "kept from long ago"),
        (beside(asked_at, -300_000), true, "by a clock that is slow"),
        (beside(asked_at, -999), true, "cut off to a whole second"),
        (asked_at, true, "at once"),
        (came_at, true, "at last"),
        (beside(came_at, 300_000), true, "by a clock that is fast"),
        (beside(came_at, 300_001), false, "yet to come"),
    ] {
        let stamp = Stamp { at, ..said.clone() };
        assert_eq!(stamp.is_timely(asked_at, came_at, skew), expected, "{why}");
    }
}

#[test]
fn a_token_is_good_until_the_first_certificate_that_it_hangs_on_ends() {
    let year = |year: i32| format!("{year}-01-01T00:00:00.000Z").parse::<Timestamp>().unwrap();
    for (signer, between, top, first) in [
        (2030, 2035, 2040, 2030),
        (2035, 2030, 2040, 2030),
        (2035, 2040, 2031, 2031),
        (2030, 2030, 2030, 2030),
    ] {
        let mut params = ca_params("root");
        params.not_after = rcgen::date_time_ymd(top, 1, 1);
        let top = root(params);
        let mut params = ca_params("between");
        params.not_after = rcgen::date_time_ymd(between, 1, 1);
        let between = top.issues(params);
        let office = office_under(&between, 2020..signer);
        let imprint = Imprint::of(Hash::Sha256, b"recipe");
        let answer = answer(&request(&imprint, None, true), &office, now(), &SERIAL);
        let trusted = Trusted { authorities: &[&top.der], others: &[&between.der] };
        let stamp = verify(&answer, &imprint, trusted, None).unwrap();
        assert_eq!(stamp.good_until, year(first));
        let last = verify(&answer, &imprint, trusted, Some(year(first)));
        assert_eq!(last.as_ref(), Ok(&stamp), "to the last second");
        let beyond = year(first).after(Span::seconds(1));
        let late = verify(&answer, &imprint, trusted, Some(beyond));
        assert_eq!(late, Err(StampRefused::NotValid { at: beyond }));
    }
}

/// Renewals of one recipe by authorities that come and go, each with a root of its own.
#[test]
fn a_chain_counts_as_long_as_each_was_renewed_in_time_and_nothing_in_it_is_another() {
    let time = |year: i32| format!("{year}-06-01T00:00:00.000Z").parse::<Timestamp>().unwrap();
    let original = b"vault.example/1\n7\nroot\n\n\xe2\x80\x94 vault.example/1 AAAA\n";
    let link = |links: &[Link], hash: Hash, years: std::ops::Range<i32>, at: Timestamp| {
        let mut params = ca_params("root");
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let root = root(params);
        let office = office_under(&root, years);
        let request = request(&covered(hash, original, links), None, true);
        Link { token: answer(&request, &office, at, &SERIAL), cas: vec![root.der] }
    };
    let mut chain = vec![link(&[], Hash::Sha256, 2020..2030, time(2021))];
    chain.push(link(&chain, Hash::Sha512, 2026..2040, time(2028)));
    chain.push(link(&chain, Hash::Sha384, 2035..2055, time(2038)));
    let stamps = verify_chain(original, &chain, Some(time(2050))).unwrap();
    let times: Vec<_> = stamps.iter().map(|stamp| stamp.at).collect();
    assert_eq!(times, [time(2021), time(2028), time(2038)]);
    assert_eq!(verify_chain(original, &[], None), Ok(vec![]));
    let refused = |chain: &[Link], at: Option<i32>| {
        let refused = verify_chain(original, chain, at.map(time)).unwrap_err();
        (refused.number, refused.of, refused.refused)
    };
    let not_valid = |year| StampRefused::NotValid { at: time(year) };
    assert_eq!(refused(&chain, Some(2056)), (3, 3, not_valid(2056)), "nobody renewed it");
    assert_eq!(refused(&chain[..2], Some(2041)), (2, 2, not_valid(2041)));
    assert_eq!(refused(&chain[..1], Some(2031)), (1, 1, not_valid(2031)));
    assert_eq!(refused(&chain, Some(2037)), (3, 3, StampRefused::Future { at: time(2038) }));
    // Renewed too late.
    let late = [chain[0].clone(), link(&chain[..1], Hash::Sha512, 2026..2060, time(2031))];
    assert_eq!(refused(&late, Some(2050)), (1, 2, not_valid(2031)));
    // Renewed before it was there.
    let early = [chain[0].clone(), link(&chain[..1], Hash::Sha512, 2015..2040, time(2020))];
    assert_eq!(refused(&early, None), (1, 2, StampRefused::Future { at: time(2021) }));
    // One left out, two that change places, one of another chain, another original.
    let without = [chain[0].clone(), chain[2].clone()];
    assert_eq!(refused(&without, None).2, StampRefused::OtherImprint);
    let swapped = [chain[1].clone(), chain[0].clone(), chain[2].clone()];
    assert_eq!(refused(&swapped, None).2, StampRefused::OtherImprint);
    let mut replaced = chain.clone();
    replaced[0] = link(&[], Hash::Sha256, 2020..2030, time(2021));
    assert_eq!(refused(&replaced, None), (3, 3, StampRefused::OtherImprint));
    let other = verify_chain(b"another", &chain, None).unwrap_err();
    assert_eq!((other.number, other.refused), (3, StampRefused::OtherImprint));
    // Without a root, or under another one.
    for cas in [vec![], chain[1].cas.clone()] {
        let mut unpinned = chain.clone();
        unpinned[0].cas = cas;
        assert_eq!(refused(&unpinned, None), (1, 3, StampRefused::Untrusted));
    }
}
