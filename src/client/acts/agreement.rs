//! Proposing, countersigning, ending agreements; fetching and passing on shares.

use std::collections::BTreeMap;

use rand_core::OsRng;

use crate::client::error::{ClientError, chain};
use crate::client::home::{Home, Pinning};
use crate::client::session::Session;
use crate::client::silence::answered;
use crate::crypto::release_key::{self, ReleaseKey, Share};
use crate::crypto::share::{self, Place};
use crate::crypto::{proofs, signature};
use crate::domain::agreement::Agreement;
use crate::domain::id::{AgreementId, MemberPath, OrganisationName, PublicKey};
use crate::domain::organisation::Organisation;
use crate::domain::refusal::Refusal;
use crate::domain::soundness::{self, TooFewMembers};
use crate::domain::statement::{self, Acceptance, Declination, Proposal, SealedShare, Termination};
use crate::domain::terms::Terms;
use crate::wire::limit::ATTACHMENTS_MAX;
use crate::wire::v1::FetchRequest;
use crate::wire::v1::share_service_client::ShareServiceClient;

/// The parties' organisations as followed just now, and what to be warned of.
pub struct Surveyed {
    parties: BTreeMap<OrganisationName, Organisation>,
    /// Rules that the members there are cannot meet.
    pub warnings: Vec<TooFewMembers>,
}

/// Looks at every party of terms about to be proposed. Their keys must be the ones in the terms.
pub async fn survey(session: &mut Session, terms: &Terms) -> Result<Surveyed, ClientError> {
    let own = &session.owner.path.organisation;
    if terms.depositor() != Some(own) {
        return Err(Refusal::NotDepositor(own.clone()).into());
    }
    for (organisation, fingerprint) in &terms.fingerprints {
        session.home.pin(organisation, *fingerprint, Pinning::Keep)?;
    }
    let mut parties = BTreeMap::new();
    for (name, fingerprint) in &terms.fingerprints {
        let followed = session.organisation(name).await;
        // The vault shows an organisation only to who names its key's fingerprint.
        let missing = |error: ClientError| match error.code() {
            "NOT_FOUND" => ClientError::input(
                "PARTY_MISSING",
                format!(
                    "the vault knows no {name} with the fingerprint that this home trusts, \
                     {fingerprint}"
                ),
                format!(
                    "either {name} has not joined yet, or the fingerprint here is wrong: compare \
                     it by telephone, and put a mistake right with `escrow trust --replace`"
                ),
            ),
            _ => error,
        };
        parties.insert(name.clone(), followed.map_err(missing)?);
    }
    let warnings = warnings(session, terms);
    Ok(Surveyed { parties, warnings })
}

/// Rules that the parties' members cannot meet, by what was followed of them.
pub fn warnings(session: &Session, terms: &Terms) -> Vec<TooFewMembers> {
    let members = terms.organisations().map(|name| {
        let organisation = session.states().organisation(name);
        (name.clone(), organisation.map_or(0, |found| found.active_members().count()))
    });
    soundness::too_few_members(terms, &members.collect())
}

/// Proposes terms and deals their release key, in one go.
pub async fn propose(
    session: &mut Session,
    terms: Terms,
    surveyed: &Surveyed,
) -> Result<AgreementId, ClientError> {
    let holders = terms.holder_organisations();
    let quorum = terms.quorum;
    let proposal = session.sign(&Proposal { made: session.made(), terms }.into())?;
    let terms_sha256 = signature::sha256(proposal.statement.as_bytes());
    let agreement = AgreementId::of(&terms_sha256);
    let dealt = release_key::deal(&holders, quorum, &mut OsRng).map_err(faulty)?;
    let parties = |holder| surveyed.parties.get(holder).into_iter();
    let members = holders.iter().flat_map(parties).flat_map(Organisation::active_members);
    sealed_at_once(members.count())?;
    let (mut shares, mut attachments) = (Vec::new(), Vec::new());
    for (holder, share) in &dealt.shares {
        let place = Place { agreement: agreement.clone(), epoch: 1, holder: holder.clone() };
        let organisation = surveyed.parties.get(holder);
        for (name, member) in organisation.into_iter().flat_map(Organisation::active_members) {
            let member_path = MemberPath { organisation: holder.clone(), name: name.clone() };
            let sealed =
                share::seal(share, &place, member.age_recipient.as_str()).map_err(faulty)?;
            let sha256 = signature::sha256(&sealed);
            shares.push(SealedShare { member: member_path, sha256 });
            attachments.push(sealed);
        }
    }
    let dealt = statement::ReleaseKey {
        made: session.made(),
        agreement: agreement.clone(),
        terms_sha256,
        epoch: 1,
        commitment: dealt.commitment,
        holders: release_key::number(&holders),
        shares,
    };
    let dealt = session.sign(&dealt.into())?;
    session.submit(vec![proposal, dealt], attachments).await?;
    Ok(agreement)
}

/// A release key is dealt to everybody in one go, or not at all.
fn sealed_at_once(members: usize) -> Result<(), ClientError> {
    if members <= ATTACHMENTS_MAX {
        return Ok(());
    }
    Err(ClientError::input(
        "TOO_MANY_SHARES",
        format!(
            "the holders have {members} active members together, and at most {ATTACHMENTS_MAX} \
             can be given a share at once"
        ),
        "revoke who has left, or name fewer parties in `holders`",
    ))
}

/// Refuses an acceptance that would change nothing, before anything is signed.
pub fn may_accept(agreement: &Agreement, own: &OrganisationName) -> Result<(), Refusal> {
    if agreement.accepted.contains_key(own) {
        return Err(Refusal::Already { who: own.to_string(), what: "accepted this agreement" });
    }
    agreement.is_proposed()
}

/// Refuses a termination that would change nothing, before anything is signed.
pub fn may_terminate(agreement: &Agreement, own: &OrganisationName) -> Result<(), Refusal> {
    agreement.in_force()?;
    if agreement.terminated.contains_key(own) {
        let what = "signed for the end of this agreement";
        return Err(Refusal::Already { who: own.to_string(), what });
    }
    Ok(())
}

/// Checks the dealer and the own share, and countersigns for the member's organisation.
pub async fn accept(session: &mut Session, id: &AgreementId) -> Result<(), ClientError> {
    let agreement = session.agreement(id).await?;
    let own = session.owner.path.organisation.clone();
    may_accept(&agreement, &own)?;
    let key = proofs::release_key(&agreement).map_err(faulty)?;
    if agreement.terms.is_holder(&own) {
        own_share(session, &agreement, &key).await?;
    }
    for (organisation, fingerprint) in &agreement.terms.fingerprints {
        session.home.pin(organisation, *fingerprint, Pinning::Keep)?;
    }
    let acceptance = Acceptance {
        made: session.made(),
        ground: session.ground(id),
        terms_sha256: agreement.terms_sha256,
        release_key_sha256: agreement.key()?.sha256,
    };
    let signed = session.sign(&acceptance.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// Refuses to enter an agreement.
pub async fn decline(session: &mut Session, id: &AgreementId) -> Result<(), ClientError> {
    session.agreement(id).await?;
    let declination = Declination { made: session.made(), ground: session.ground(id) };
    let signed = session.sign(&declination.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// Signs for an agreement's end.
pub async fn terminate(session: &mut Session, id: &AgreementId) -> Result<(), ClientError> {
    session.agreement(id).await?;
    let termination = Termination { made: session.made(), ground: session.ground(id) };
    let signed = session.sign(&termination.into())?;
    session.submit(vec![signed], Vec::new()).await
}

/// Passes the own share on to every colleague who lacks it. Returns who got it.
pub async fn reseal(
    session: &mut Session,
    id: &AgreementId,
) -> Result<Vec<MemberPath>, ClientError> {
    let agreement = session.agreement(id).await?;
    let key = proofs::release_key(&agreement).map_err(faulty)?;
    let share = own_share(session, &agreement, &key).await?;
    let dealt = agreement.key()?;
    let own = session.own_organisation().await?;
    let place = Place { agreement: id.clone(), epoch: dealt.epoch, holder: own.name.clone() };
    let mut passed = Vec::new();
    for (name, member) in own.active_members() {
        let path = MemberPath { organisation: own.name.clone(), name: name.clone() };
        if dealt.shares.contains_key(&path) {
            continue;
        }
        let sealed = share::seal(&share, &place, member.age_recipient.as_str()).map_err(faulty)?;
        let reseal = statement::Reseal {
            made: session.made(),
            ground: session.ground(id),
            epoch: dealt.epoch,
            share: SealedShare { member: path.clone(), sha256: signature::sha256(&sealed) },
        };
        let signed = session.sign(&reseal.into())?;
        session.submit(vec![signed], vec![sealed]).await?;
        passed.push(path);
    }
    Ok(passed)
}

/// The member's own share, fetched if need be, and checked against the commitment.
pub async fn own_share(
    session: &Session,
    agreement: &Agreement,
    key: &ReleaseKey,
) -> Result<Share, ClientError> {
    let (member, dealt) = (&session.owner.path, agreement.key()?);
    let stated = dealt.shares.get(member).ok_or_else(|| {
        ClientError::input(
            "NO_SHARE",
            format!("no share of the release key was sealed to {member}"),
            format!("ask a colleague to run `escrow agreement reseal {}`", agreement.id),
        )
    })?;
    let holder = member.organisation.clone();
    let place = Place { agreement: agreement.id.clone(), epoch: dealt.epoch, holder };
    // What the commitment speaks for is the share, whatever else was sealed to this member since.
    if let Some(kept) = session.home.share(&agreement.id)?
        && let Ok(share) = opened(&kept, &place, key, &session.keys.age)
    {
        return Ok(share);
    }
    let request = FetchRequest { agreement: agreement.id.to_string() };
    let mut service = ShareServiceClient::new(session.channel());
    let sealed = answered(service.fetch(request)).await?.into_inner().sealed_share;
    if signature::sha256(&sealed) != *stated {
        let what = "another sealed share than the statement names";
        return Err(ClientError::Untrue(what.to_owned()));
    }
    take_in(&session.home, &sealed, &place, key, &session.keys.age)
}

/// Keeps a sealed share, once it has proved to be the dealer's: not before, for it takes the place
/// of one that may be good.
fn take_in(
    home: &Home,
    sealed: &[u8],
    place: &Place,
    key: &ReleaseKey,
    identity: &age::x25519::Identity,
) -> Result<Share, ClientError> {
    let share = opened(sealed, place, key, identity)?;
    home.keep_share(&place.agreement, sealed)?;
    Ok(share)
}

fn opened(
    sealed: &[u8],
    place: &Place,
    key: &ReleaseKey,
    identity: &age::x25519::Identity,
) -> Result<Share, ClientError> {
    let share = share::open(sealed, place, identity).map_err(faulty)?;
    key.check_share(&place.holder, &share).map_err(faulty)?;
    Ok(share)
}

/// The fingerprint a member's own key has.
pub fn key_fingerprint(key: &PublicKey) -> String {
    signature::fingerprint(key).to_string()
}

/// A check of the key scheme failed: somebody erred or cheated.
pub(super) fn faulty(fault: impl std::error::Error) -> ClientError {
    ClientError::input(
        "KEY_CHECK_FAILED",
        chain(&fault),
        "do not go on; ask the depositor and another party what they see",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::release_key::{deal, number};
    use crate::domain::id::{Bytes, MemberName};
    use crate::domain::statement::{Log, Made, Statement};
    use crate::domain::terms::limit::PARTIES_MAX;
    use crate::domain::text::Text;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_good_share_is_kept_until_a_better_one_has_proved_itself() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(&dir.path().join("home")).unwrap();
        let holders = ["hanbit-parts", "orient-display"].map(|name| name.parse().unwrap());
        let dealt = || deal(&holders, 2, &mut OsRng).unwrap();
        let (right, wrong) = (dealt(), dealt());
        let key = ReleaseKey::check(&right.commitment, 2, &number(&holders)).unwrap();
        let (own, stranger) =
            (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let agreement = AgreementId::of(&Bytes([1; 32]));
        let place = Place { agreement: agreement.clone(), epoch: 1, holder: holders[0].clone() };
        let other = Place { epoch: 2, ..place.clone() };
        let sealed = |share: &Share, place: &Place, to: &age::x25519::Identity| {
            share::seal(share, place, &to.to_public().to_string()).unwrap()
        };
        let good = sealed(&right.shares[0].1, &place, &own);
        take_in(&home, &good, &place, &key, &own).unwrap();
        for (what, bad) in [
            ("of another dealer", sealed(&wrong.shares[0].1, &place, &own)),
            ("of another holder", sealed(&right.shares[1].1, &place, &own)),
            ("of another epoch", sealed(&right.shares[0].1, &other, &own)),
            ("sealed to somebody else", sealed(&right.shares[0].1, &place, &stranger)),
            ("rubbish", b"rubbish".to_vec()),
        ] {
            assert!(take_in(&home, &bad, &place, &key, &own).is_err(), "{what}");
            assert_eq!(home.share(&agreement).unwrap(), Some(good.clone()), "{what}");
        }
    }

    #[test]
    fn more_shares_than_can_be_handed_in_are_refused_by_name() {
        assert!(sealed_at_once(ATTACHMENTS_MAX).is_ok());
        let refused = sealed_at_once(ATTACHMENTS_MAX + 1).unwrap_err();
        assert_eq!(refused.code(), "TOO_MANY_SHARES");
    }

    #[test]
    fn the_largest_release_key_has_room_in_a_statement() {
        let name = |kind: char, n: usize, bytes: usize| format!("{kind}{n:0>0$}", bytes - 1);
        let organisation = |n| name('o', n, OrganisationName::BYTES_MAX);
        let share = |n: usize| SealedShare {
            member: format!(
                "{}/{}",
                organisation(n % PARTIES_MAX),
                name('m', n, MemberName::BYTES_MAX)
            )
            .parse()
            .unwrap(),
            sha256: Bytes([1; 32]),
        };
        let holders: Vec<_> = (0..PARTIES_MAX).map(|n| organisation(n).parse().unwrap()).collect();
        let shares: Vec<_> = (0..ATTACHMENTS_MAX).map(share).collect();
        let origin = "o".repeat(Text::BYTES_MAX).parse().unwrap();
        let made = Made {
            by: shares[0].member.clone(),
            at: Timestamp::MAX,
            nonce: Bytes([1; 16]),
            log: Log { origin, generation: u32::MAX },
        };
        let key = statement::ReleaseKey {
            made,
            agreement: AgreementId::of(&Bytes([1; 32])),
            terms_sha256: Bytes([1; 32]),
            epoch: 1,
            commitment: vec![Bytes([1; 32]); PARTIES_MAX],
            holders: number(&holders),
            shares,
        };
        let bytes = serde_json::to_vec(&Statement::from(key)).unwrap().len();
        assert!(bytes <= Statement::BYTES_MAX, "{bytes} bytes");
        assert!(bytes > Statement::BYTES_MAX / 2, "{bytes} bytes are not the largest there are");
    }
}
