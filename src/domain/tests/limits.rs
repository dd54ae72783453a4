//! How many of something there may be: so many are taken, and one more is refused by name.

use super::scenario::{DANA, MINJI, SORA, asked, parties};
use crate::domain::organisation::MEMBERS_MAX;
use crate::domain::refusal::Refusal;
use crate::domain::request::NOTIFICATIONS_MAX;
use crate::domain::statement::Reason;

#[test]
fn an_organisation_has_so_many_members_and_no_more() {
    let mut world = parties();
    // Two who are in, and one who waits.
    for n in 3..=MEMBERS_MAX {
        let who = format!("hanbit-parts/m{n}");
        let door = world.invitation(MINJI, &who);
        world.accept(door.clone());
        let join = world.join(&who, &door);
        let expected = if n < MEMBERS_MAX {
            Ok(())
        } else {
            let what = "members of this organisation";
            Err(Refusal::Limit { what, limit: MEMBERS_MAX })
        };
        assert_eq!(world.try_say(join), expected, "member {}", n + 1);
    }
    // Who has left is one of them still: its keys are nobody else's ever.
    let left = world.revocation(MINJI, "hanbit-parts/m3", Reason::Left);
    world.accept(left);
    let door = world.invitation(MINJI, "hanbit-parts/late");
    world.accept(door.clone());
    let join = world.join("hanbit-parts/late", &door);
    assert_eq!(world.try_say(join).unwrap_err().code(), "LIMIT");
}

#[test]
fn a_request_has_so_many_notifications_and_no_more() {
    let (mut world, case) = asked("bankruptcy");
    for _ in 0..NOTIFICATIONS_MAX {
        let notification = world.notification(SORA, &case);
        world.accept(notification);
    }
    for by in [SORA, DANA] {
        let notification = world.notification(by, &case);
        let what = "notifications of this request";
        let limit = Err(Refusal::Limit { what, limit: NOTIFICATIONS_MAX });
        assert_eq!(world.try_say(notification), limit, "{by}");
    }
    // It is full, and blocks nothing.
    let sight = world.sight(MINJI, &case);
    world.accept(sight);
}
