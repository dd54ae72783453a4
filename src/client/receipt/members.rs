//! Whose keys signed: from an organisation's key over confirmations to a member, by signed statements
//! alone. Nothing here says that a key is an organisation's: that is for people to compare.

use std::collections::BTreeMap;

use crate::crypto::signature;
use crate::domain::id::{Digest, Fingerprint, MemberPath, OrganisationName, PublicKey};
use crate::domain::statement::{Confirmation, Stated, Statement};

/// Longest line of administrators that confirmed each other.
const STEPS_MAX: usize = 64;

/// What statements about members say, in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Members {
    organisations: BTreeMap<OrganisationName, PublicKey>,
    joined: BTreeMap<Digest, (MemberPath, PublicKey)>,
    confirmed: Vec<(Confirmation, PublicKey)>,
}

impl Members {
    /// Takes in a statement whose signature was verified.
    pub(super) fn learn(&mut self, stated: &Stated) {
        let by = &stated.statement.made().by;
        if let Statement::Organisation(s) = &stated.statement
            && s.key == stated.key
        {
            // The first one stands: there is no other in an honest log.
            self.organisations.entry(by.organisation.clone()).or_insert(s.key);
        }
        if let Statement::Join(s) = &stated.statement
            && s.key == stated.key
        {
            self.joined.insert(stated.digest, (by.clone(), s.key));
        }
        if let Statement::Confirmation(s) = &stated.statement {
            self.confirmed.push((s.clone(), stated.key));
        }
    }

    /// The fingerprint of the organisation whose key vouches for this member's.
    pub(super) fn vouched(&self, path: &MemberPath, key: &PublicKey) -> Option<Fingerprint> {
        let root = self.organisations.get(&path.organisation)?;
        self.leads_to(root, path, key, false, 0).then(|| signature::fingerprint(root))
    }

    fn leads_to(
        &self,
        root: &PublicKey,
        path: &MemberPath,
        key: &PublicKey,
        as_administrator: bool,
        steps: usize,
    ) -> bool {
        let of_this_key = |(joined, (who, with)): (&Digest, &(MemberPath, PublicKey))| {
            (who == path && with == key).then_some(*joined)
        };
        let joined: Vec<Digest> = self.joined.iter().filter_map(of_this_key).collect();
        self.confirmed.iter().any(|(confirmation, by)| {
            let is_of = confirmation.member == *path
                && joined.contains(&confirmation.join_sha256)
                && confirmation.made.by.organisation == path.organisation
                && (confirmation.administrator || !as_administrator);
            let confirmer = &confirmation.made.by;
            is_of
                && (by == root
                    || (steps < STEPS_MAX
                        && (confirmer, by) != (path, key)
                        && self.leads_to(root, confirmer, by, true, steps + 1)))
        })
    }
}

/// The statements that lead from an organisation's key to this member's, among all of these:
/// whichever of them say anything of it.
pub fn vouching(of: &[&Stated], path: &MemberPath, key: &PublicKey) -> Vec<Digest> {
    let mut needed: Vec<Digest> = Vec::new();
    let mut wanted = vec![(path.clone(), *key)];
    let mut done: Vec<(MemberPath, PublicKey)> = Vec::new();
    while let Some((path, key)) = wanted.pop() {
        if done.contains(&(path.clone(), key)) || done.len() >= STEPS_MAX {
            continue;
        }
        done.push((path.clone(), key));
        let joins: Vec<Digest> = of
            .iter()
            .filter(|it| matches!(&it.statement, Statement::Join(s) if s.key == key && s.made.by == path))
            .map(|it| it.digest)
            .collect();
        for stated in of {
            if let Statement::Organisation(_) = &stated.statement {
                needed.push(stated.digest);
            }
            if let Statement::Confirmation(s) = &stated.statement
                && joins.contains(&s.join_sha256)
            {
                needed.push(stated.digest);
                wanted.push((s.made.by.clone(), stated.key));
            }
        }
        needed.extend(joins);
    }
    needed
}
