//! Every template as people use it: filled in as its comments say, checked, proposed, accepted,
//! deposited under, asked under each of its rules; released where that takes no waiting, and up to the
//! clock where it does.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::{World, id};

const RECIPE: &str = "etch for 90 s";

/// An agreement under a template in force, with a deposit.
struct Scene {
    world: World,
    agreement: String,
    deposit: String,
}

impl Scene {
    /// The parties with their members, the depositor first; the home of each first member has the
    /// organisation's name, and those of colleagues have their own.
    fn set(template: &str, parties: &[(&str, &[&str])]) -> Self {
        let world = World::new();
        for (organisation, members) in parties {
            world.join(organisation, members[0]);
            members[1..].iter().for_each(|member| world.join_colleague(organisation, member));
        }
        let terms = world.file("terms.toml", filled_in(&world, template, parties));
        let depositor = parties[0].0;
        let checked = world.escrow(depositor, &["agreement", "check", &terms]);
        assert_eq!(checked.code, 0, "{template}: {:?}", checked.out);
        let proposed = world.escrow(depositor, &["agreement", "propose", &terms, "--yes"]);
        let agreement = id(&proposed.record());
        for (organisation, _) in &parties[1..] {
            let accept = ["agreement", "accept", &agreement, "--yes"];
            world.escrow(organisation, &accept).record();
        }
        let file = world.file("bundle/recipe.txt", RECIPE);
        let deposit =
            id(&world.escrow(depositor, &["deposit", &agreement, &file, "--yes"]).record());
        Self { world, agreement, deposit }
    }

    fn try_request(&self, home: &str, rule: &str) -> super::Ended {
        let words = ["request", &self.deposit, "--rule", rule, "--purpose", "as agreed", "--yes"];
        self.world.escrow(home, &words)
    }

    fn request(&self, home: &str, rule: &str) -> String {
        id(&self.try_request(home, rule).record())
    }

    /// Everybody approves in this order; the state after the last.
    #[track_caller]
    fn approved(&self, request: &str, homes: &[&str]) -> String {
        homes.iter().fold(String::new(), |_, home| self.world.approve(home, request))
    }

    /// Somebody does something about a request that takes no more words; how it stands then.
    #[track_caller]
    fn does(&self, home: &str, words: &[&str]) -> Value {
        self.world.escrow(home, &[words, &["--yes"]].concat()).record()
    }

    /// The same with a document that shows it.
    #[track_caller]
    fn shows(&self, home: &str, words: &[&str]) -> Value {
        let document = self.world.file("document.pdf", "it is so");
        self.does(home, &[words, &["--evidence", &document]].concat())
    }

    fn missing(&self, home: &str, request: &str) -> Vec<String> {
        let shown = self.world.escrow(home, &["show", request]).record();
        let missing = shown["missing"].as_array().unwrap().iter();
        missing.map(|it| it["what"].as_str().unwrap().to_owned()).collect()
    }

    /// The requester has what was deposited.
    #[track_caller]
    fn retrieves(&self, home: &str, request: &str) {
        let out = self.world.path("out");
        self.does(home, &["retrieve", request, "--out", &out.display().to_string()]);
        assert_eq!(fs::read_to_string(out.join("recipe.txt")).unwrap(), RECIPE);
        fs::remove_dir_all(out).unwrap();
    }
}

/// A template with the fingerprints that it asks for.
fn filled_in(world: &World, template: &str, parties: &[(&str, &[&str])]) -> String {
    let mut printed = Command::new(env!("CARGO_BIN_EXE_escrow"));
    let printed = printed.args(["agreement", "template", template]).output().unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    let others = parties[1..].iter().map(|(name, _)| (*name, world.fingerprint(name)));
    let mut others: BTreeMap<_, _> = others.collect();
    let fill_in = |line: &str| {
        let asked = line.strip_prefix("# ").and_then(|line| line.strip_suffix(" = \"…\""));
        match asked.and_then(|name| others.remove_entry(name.trim())) {
            Some((name, fingerprint)) => format!("{name} = \"{fingerprint}\"\n"),
            None => format!("{line}\n"),
        }
    };
    let filled_in = text.lines().map(fill_in).collect();
    assert_eq!(others, BTreeMap::new(), "{template} asks for everybody's fingerprint");
    filled_in
}

#[test]
fn two_party() {
    let scene = Scene::set(
        "two-party",
        &[("hanbit-parts", &["minji", "jun"]), ("orient-display", &["junho", "kenji"])],
    );
    for (requester, approve) in
        [("orient-display", ["kenji", "hanbit-parts"]), ("hanbit-parts", ["jun", "orient-display"])]
    {
        let request = scene.request(requester, "joint");
        assert_eq!(scene.world.escrow(requester, &["approve", &request]).refusal(), "OWN_REQUEST");
        assert_eq!(scene.approved(&request, &approve), "released", "{requester}");
        scene.retrieves(requester, &request);
    }
}

#[test]
fn three_party() {
    let scene = Scene::set(
        "three-party",
        &[
            ("hanbit-parts", &["minji"]),
            ("orient-display", &["junho", "kenji"]),
            ("trade-secret-center", &["sora"]),
        ],
    );
    let joint = scene.request("orient-display", "joint");
    assert_eq!(scene.approved(&joint, &["trade-secret-center", "hanbit-parts"]), "released");
    scene.retrieves("orient-display", &joint);

    let bankruptcy = scene.request("orient-display", "bankruptcy");
    assert_eq!(scene.approved(&bankruptcy, &["kenji", "trade-secret-center"]), "notice");
    let missing = scene.missing("trade-secret-center", &bankruptcy);
    assert_eq!(missing, ["notification", "notice", "contributions"]);
    let missing = scene.missing("hanbit-parts", &bankruptcy);
    assert_eq!(missing, ["notice", "contributions"], "who may object has looked");
    let object = ["object", &bankruptcy, "--reason", "we are solvent"];
    assert_eq!(scene.does("hanbit-parts", &object)["state"], "objected");
}

#[test]
fn registry() {
    let scene = Scene::set(
        "registry",
        &[
            ("hanbit-registry", &["minji"]),
            ("naming-authority", &["anna", "boris"]),
            ("trade-secret-center", &["sora"]),
            ("emergency-operator", &["carla"]),
        ],
    );
    let handover = scene.request("naming-authority", "handover");
    assert_eq!(scene.approved(&handover, &["hanbit-registry", "trade-secret-center"]), "released");
    scene.retrieves("naming-authority", &handover);
    let reported = scene.does("naming-authority", &["acknowledge", &handover, "--reported"]);
    assert_eq!(reported["duty"]["state"], "fulfilled");

    assert_eq!(scene.try_request("naming-authority", "missed").refusal(), "NOT_TRIGGERED");

    let emergency = scene.request("emergency-operator", "emergency");
    let ended = ["attest", &emergency, "--event", "mandate-ended"];
    scene.shows("trade-secret-center", &ended);
    let approve = ["naming-authority", "boris", "trade-secret-center"];
    assert_eq!(scene.approved(&emergency, &approve), "notice");
    let missing = scene.missing("hanbit-registry", &emergency);
    assert_eq!(missing, ["notice", "contributions"]);
}

#[test]
fn audit() {
    let scene = Scene::set(
        "audit",
        &[
            ("hanbit-parts", &["minji"]),
            ("safety-agency", &["anna", "boris"]),
            ("trade-secret-center", &["sora"]),
            ("board-of-arbitration", &["carla"]),
        ],
    );
    let audit = scene.request("safety-agency", "audit");
    assert_eq!(scene.approved(&audit, &["hanbit-parts", "trade-secret-center"]), "released");
    scene.retrieves("safety-agency", &audit);
    let destroyed = scene.does("safety-agency", &["acknowledge", &audit, "--destroyed"]);
    assert_eq!(destroyed["duty"]["state"], "fulfilled");

    let inquiry = scene.request("safety-agency", "inquiry");
    scene.shows("trade-secret-center", &["attest", &inquiry, "--order"]);
    assert_eq!(scene.approved(&inquiry, &["boris", "trade-secret-center"]), "notice");
    let object = ["object", &inquiry, "--reason", "the order is of another line"];
    assert_eq!(scene.does("hanbit-parts", &object)["state"], "objected");
    let settled = scene.shows("board-of-arbitration", &["settle", &inquiry, "--award"]);
    assert_eq!(
        (&settled["state"], &settled["objections"][0]["settled"]),
        (&json!("notice"), &json!(true))
    );
}

#[test]
fn clean_team() {
    let scene = Scene::set(
        "clean-team",
        &[
            ("hanbit-parts", &["minji"]),
            ("orient-display", &["junho", "kenji"]),
            ("outside-advisers", &["anna"]),
            ("antitrust-counsel", &["carla"]),
            ("trade-secret-center", &["sora"]),
        ],
    );
    let review = scene.request("outside-advisers", "review");
    let approve = ["hanbit-parts", "trade-secret-center"];
    assert_eq!(scene.approved(&review, &approve), "open", "counsel has not looked");
    assert_eq!(scene.missing("antitrust-counsel", &review), ["contributions"]);
    assert_eq!(scene.approved(&review, &approve), "released");
    scene.retrieves("outside-advisers", &review);
    let destroyed = scene.does("outside-advisers", &["acknowledge", &review, "--destroyed"]);
    assert_eq!(destroyed["duty"]["state"], "fulfilled");

    let closing = scene.request("orient-display", "closing");
    scene.shows("antitrust-counsel", &["attest", &closing, "--event", "closing"]);
    assert_eq!(scene.approved(&closing, &["kenji", "trade-secret-center"]), "notice");
    assert_eq!(scene.missing("hanbit-parts", &closing), ["notice", "contributions"]);
}

#[test]
fn estate() {
    let scene = Scene::set(
        "estate",
        &[
            ("founder", &["nari"]),
            ("elder-heir", &["anna"]),
            ("younger-heir", &["boris"]),
            ("trade-secret-center", &["sora"]),
            ("family-lawyers", &["dana"]),
        ],
    );
    let own = scene.request("founder", "own");
    let approve = ["trade-secret-center", "family-lawyers", "trade-secret-center"];
    assert_eq!(scene.approved(&own, &approve), "released", "three shares, one of them its own");
    scene.retrieves("founder", &own);

    let death = scene.request("elder-heir", "death");
    scene.shows("trade-secret-center", &["attest", &death, "--event", "death"]);
    let letter = scene.world.file("letter.pdf", "to the founder's address");
    let notified = ["approve", &death, "--notified", &letter];
    scene.does("trade-secret-center", &notified);
    assert_eq!(scene.approved(&death, &["younger-heir", "family-lawyers"]), "notice");
    let missing = scene.missing("family-lawyers", &death);
    assert_eq!(missing, ["notice", "contributions"]);

    assert_eq!(scene.try_request("elder-heir", "silence").refusal(), "NOT_TRIGGERED");
    let reminded = scene.does("family-lawyers", &["remind", &scene.agreement, "--org", "founder"]);
    let missing = &reminded["untriggered"][0]["missing"];
    assert_eq!(missing[0]["count"], 2, "of three: {missing}");
}
