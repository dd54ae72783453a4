//! Old versions of the rules keep deciding what was decided by them, and nothing that is newer.

use super::json::one_of_each;
use super::scenario::{MINJI, SORA, YUKI, asked, parties};
use super::terms::{second_format, terms, three_party};
use super::world::World;
use crate::domain::event::ENGINE;
use crate::domain::refusal::Refusal;
use crate::domain::rules::{self, Circumstances};
use crate::domain::statement::Statement;

fn decided_by(
    engine: u32,
    world: &mut World,
    statement: impl Into<Statement>,
) -> Result<(), Refusal> {
    let stated = world.stated(statement);
    let circumstances = Circumstances { engine, ..world.circumstances(&stated) };
    rules::decide(&world.states, &stated, &circumstances)
}

#[test]
fn the_first_rules_judge_format_1_as_ever_and_nothing_of_format_2() {
    let mut world = parties();
    let first = world.proposal(MINJI, &terms(three_party()));
    let second = world.proposal(MINJI, &terms(second_format()));
    let newer = Err(Refusal::LaterRules(2));
    assert_eq!(decided_by(1, &mut world, first.clone()), Ok(()));
    assert_eq!(decided_by(ENGINE, &mut world, first), Ok(()), "with the same meaning");
    assert_eq!(decided_by(1, &mut world, second.clone()), newer);
    assert_eq!(decided_by(ENGINE, &mut world, second), Ok(()));

    let (mut world, case) = asked("joint");
    let consent = world.consent(SORA, &case);
    assert_eq!(decided_by(1, &mut world, consent), Ok(()));
    let reminder = world.reminder(SORA, &case.agreement, "hanbit-parts");
    assert_eq!(decided_by(1, &mut world, reminder), newer, "a type that it does not have");

    // What is said in an agreement whose terms it does not have.
    let mut world = parties();
    let agreement = world.agree(&terms(second_format()));
    let deposit = world.store(&agreement);
    let case = world.ask(YUKI, &deposit, "joint");
    let consent = world.consent(SORA, &case);
    assert_eq!(decided_by(1, &mut world, consent.clone()), newer);
    assert_eq!(decided_by(ENGINE, &mut world, consent), Ok(()));
}

#[test]
fn no_statement_takes_rules_that_this_program_does_not_have() {
    let engines: Vec<_> = one_of_each().iter().map(Statement::engine).collect();
    assert!(engines.iter().all(|engine| (1..=ENGINE).contains(engine)));
    assert!(engines.contains(&1) && engines.contains(&ENGINE));
}
