//! Proposing, countersigning, ending agreements; fetching and passing on shares.

use std::collections::BTreeMap;

use rand_core::OsRng;

use crate::client::error::{ClientError, chain};
use crate::client::home::Pinning;
use crate::client::session::Session;
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
    let count = |(name, organisation): (&OrganisationName, &Organisation)| {
        (name.clone(), organisation.active_members().count())
    };
    let members = parties.iter().map(count).collect();
    let warnings = soundness::too_few_members(terms, &members);
    Ok(Surveyed { parties, warnings })
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
    let kept = session.home.share(&agreement.id)?;
    let sealed = match kept.filter(|sealed| signature::sha256(sealed) == *stated) {
        Some(sealed) => sealed,
        None => {
            let request = FetchRequest { agreement: agreement.id.to_string() };
            let mut service = ShareServiceClient::new(session.channel());
            let sealed = service.fetch(request).await?.into_inner().sealed_share;
            if signature::sha256(&sealed) != *stated {
                let what = "another sealed share than the statement names";
                return Err(ClientError::Untrue(what.to_owned()));
            }
            session.home.keep_share(&agreement.id, &sealed)?;
            sealed.to_vec()
        }
    };
    let holder = member.organisation.clone();
    let place = Place { agreement: agreement.id.clone(), epoch: dealt.epoch, holder };
    let share = share::open(&sealed, &place, &session.keys.age).map_err(faulty)?;
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
