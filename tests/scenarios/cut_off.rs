//! A revocation takes effect in the middle of what is under way. (On who watches, too: `members`.)

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use escrow_vault::client::acts::deposit::{self, Told as Sent};
use escrow_vault::client::acts::{release, retrieval};
use escrow_vault::client::archive::pack::Plan;
use escrow_vault::client::delivery::Told;
use escrow_vault::client::home::Home;
use escrow_vault::client::session::Session;

use super::World;

/// More than is ever under way between the two ends.
const SIZE: usize = 32 << 20;

/// Revokes a member as soon as something has moved, and goes on as if nothing had happened.
fn revoking(
    world: &Arc<World>,
    by: &'static str,
    member: &'static str,
) -> (Arc<AtomicU64>, impl FnMut(u64) + use<>) {
    let (world, moved) = (Arc::clone(world), Arc::new(AtomicU64::new(0)));
    let so_far = Arc::clone(&moved);
    let revoking = move |bytes| {
        if so_far.fetch_add(bytes, Ordering::Relaxed) == 0 {
            world.escrow(by, &["revoke", member, "--left", "--yes"]).record();
        }
    };
    (moved, revoking)
}

#[test]
fn an_upload_ends_when_its_member_is_revoked_and_leaves_nothing() {
    let (world, agreement) = World::with_agreement();
    world.join_colleague("hanbit-parts", "dana");
    let file = PathBuf::from(world.file("large", vec![7; SIZE]));
    let world = Arc::new(world);
    let (ended, moved) = runtime().block_on(async {
        let home = Home::open(&world.home("dana")).unwrap();
        let mut session = Session::open(home).await.unwrap();
        let agreement = session.agreement(&agreement.parse().unwrap()).await.unwrap();
        let plan = Plan::survey(&[file], &[]).unwrap();
        let bundle = deposit::seal(&agreement, plan).unwrap();
        let (moved, mut revoking) = revoking(&world, "hanbit-parts", "hanbit-parts/dana");
        let mut hear = |told: Sent<'_>| match told {
            Sent::Moved(bytes) => revoking(bytes),
            other @ (Sent::Lost { .. } | Sent::GoesOn(_) | Sent::StartsOver | Sent::Twin(_)) => {
                panic!("{other:?}")
            }
        };
        let how = ("large".parse().unwrap(), Duration::ZERO);
        (deposit::deposit(&mut session, &agreement, bundle, how, &mut hear).await, moved)
    });
    assert_eq!(ended.unwrap_err().code(), "REVOKED");
    assert!(moved.load(Ordering::Relaxed) < SIZE as u64 / 2, "it was taken to its end");
    assert!(world.escrow("hanbit-parts", &["deposits", &agreement]).records().is_empty());
    let bundles = super::files_below(&world.data().join("bundles"));
    assert!(bundles.is_empty(), "{bundles:?}");
}

#[test]
fn a_retrieval_ends_when_its_member_is_revoked() {
    let (world, agreement) = World::with_agreement();
    world.join_colleague("orient-display", "haerin");
    world.escrow("orient-display", &["agreement", "reseal", &agreement, "--yes"]).record();
    let deposit = world.deposit(&agreement, vec![7; SIZE]);
    let words = ["request", &deposit, "--rule", "joint", "--purpose", "an audit", "--yes"];
    let request = super::id(&world.escrow("haerin", &words).record());
    world.approve("trade-secret-center", &request);
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    let (out, world) = (world.path("out"), Arc::new(world));
    let (ended, moved) = runtime().block_on(async {
        let home = Home::open(&world.home("haerin")).unwrap();
        let mut session = Session::open(home).await.unwrap();
        let (agreement, request) = (agreement.parse().unwrap(), request.parse().unwrap());
        let matter = release::look(&mut session, &agreement, &request).await.unwrap();
        let (moved, revoking) = revoking(&world, "orient-display", "orient-display/haerin");
        let mut revoking = revoking;
        let told = |told: Told<'_>| match told {
            Told::Received(bytes) => revoking(bytes),
            Told::Kept(_) | Told::Lost { .. } => panic!("{told:?}"),
        };
        (retrieval::retrieve(&session, &matter, &out, false, told).await, moved)
    });
    assert_eq!(ended.unwrap_err().code(), "REVOKED");
    assert!(moved.load(Ordering::Relaxed) < SIZE as u64 / 2, "it was handed out");
    assert!(!out.exists(), "nothing was unpacked");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}
