//! `invite`, `join`, `whoami`, `members`, `confirm`, `revoke`, `trust`, `passphrase`.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::cli::commands::after::settled;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, count, fields};
use crate::cli::passphrase;
use crate::cli::view::MemberView;
use crate::client::acts::agreement::key_fingerprint;
use crate::client::acts::{identity, joining};
use crate::client::error::ClientError;
use crate::client::home::{Home, Pinning};
use crate::client::invitation::Invitation;
use crate::client::session::{self, Session};
use crate::domain::id::{Fingerprint, MemberName, MemberPath, OrganisationName};
use crate::domain::organisation::{INVITATION_SPAN_MAX, Standing};
use crate::domain::refusal::Refusal;
use crate::domain::statement::Reason;
use crate::domain::time::{Span, Timestamp};

/// An invitation as it is put out.
#[derive(Serialize)]
struct InvitationView {
    invitation: String,
    member: MemberPath,
    expires_at: Timestamp,
}

/// `escrow invite`
pub(super) async fn invite(
    output: &Output,
    session: &mut Session,
    org: Option<OrganisationName>,
    member: MemberName,
    valid: Span,
) -> Result<Exit, Failure> {
    let hint = "say whose first member you invite: --org ORGANISATION";
    let organisation = named_or_own(session, org, hint)?;
    let member = MemberPath { organisation, name: member };
    if valid.is_zero() || valid > INVITATION_SPAN_MAX {
        let message = format!("an invitation cannot stay open for {valid}");
        let hint = format!("name at least 1s and at most {INVITATION_SPAN_MAX} with --valid");
        return Err(Failure::usage(message, hint));
    }
    output.ask(&format!("This opens the door of the vault for {member}, for {valid}."))?;
    let invitation = identity::invite(session, member, valid).await?;
    let view = InvitationView {
        invitation: invitation.to_text().to_string(),
        member: invitation.member.clone(),
        expires_at: invitation.expires_at,
    };
    output.record(&view, |view| view.invitation.clone())?;
    output.say(&format!(
        "Pass this line to {} over a channel you trust; it works once, until {}.",
        view.member, view.expires_at
    ));
    Ok(Exit::Done)
}

/// The organisation that was named, or the member's own. The operator has none.
fn named_or_own(
    session: &Session,
    named: Option<OrganisationName>,
    hint: &str,
) -> Result<OrganisationName, Failure> {
    let own = &session.owner.path;
    match named {
        Some(named) => Ok(named),
        None if *own == MemberPath::operator() => {
            Err(Failure::usage("the operator has no organisation of its own", hint))
        }
        None => Ok(own.organisation.clone()),
    }
}

/// `escrow join`
pub(crate) async fn join(
    output: &Output,
    dir: &Path,
    file: Option<&Path>,
    passphrase_file: Option<&Path>,
) -> Result<Exit, Failure> {
    Home::refuse_taken(dir)?;
    let text = invitation_text(file)?;
    let invitation = Invitation::parse(&text).map_err(|fault| {
        let named = file.map(|file| file.display().to_string());
        let message = match (text.trim().is_empty(), named) {
            (true, named) => format!("{} is empty", named.as_deref().unwrap_or("the invitation")),
            (false, Some(named)) => format!("{named}: {fault}"),
            (false, None) => fault.to_string(),
        };
        Failure::failed("BAD_INVITATION", message, fault.hint())
    })?;
    let what = format!(
        "This makes your keys in {} and introduces them to the vault at {} as those of {}.",
        dir.display(),
        invitation.address,
        invitation.member
    );
    match file {
        Some(_) => output.ask(&what)?,
        None => output.ask_beside_input(&what)?,
    }
    // Nothing is made before that: what was mistyped or declined leaves no home behind.
    let mut home = Home::create(dir)?;
    passphrase::unlock(&mut home, passphrase_file)?;
    let is_asked = passphrase_file.is_some() || (io::stdin().is_terminal() && !output.yes);
    if is_asked
        && !home.is_sealed()
        && let Some(chosen) = passphrase::choose(passphrase_file)?
    {
        home.set_passphrase(Some(&chosen))?;
    }
    let owner = joining::join(&home, &invitation).await?;
    show_self(output, &home).await?;
    output.say(&format!(
        "Welcome, {}. Back up this directory, where your keys are: {}",
        owner.path,
        home.dir().display()
    ));
    match invitation.organisation_fingerprint {
        Some(_) => output.say(
            "Read your member fingerprint to a colleague, who then runs `escrow confirm`; \
             until then you can neither act nor see any agreement.",
        ),
        None => output.say(
            "You are your organisation's first member and hold its key. Tell others its \
             fingerprint by telephone or on paper. Invite a colleague soon, and confirm that one \
             with --administrator: without any home of its own left, an organisation has to begin \
             anew under another name.",
        ),
    }
    Ok(Exit::Done)
}

fn invitation_text(file: Option<&Path>) -> Result<String, Failure> {
    let limit = Invitation::TEXT_BYTES_MAX as u64 + 1;
    let unreadable = |fault: io::Error| {
        let hint = "name the file that holds the invitation, or paste it when asked";
        let named = file.map(|file| format!(" from {}", file.display())).unwrap_or_default();
        let message = format!("the invitation cannot be read{named}: {fault}");
        Failure::failed("UNREADABLE", message, hint)
    };
    let mut text = String::new();
    match file {
        Some(path) => {
            let file = std::fs::File::open(path).map_err(unreadable)?;
            file.take(limit).read_to_string(&mut text).map_err(unreadable)?;
        }
        None if io::stdin().is_terminal() => {
            eprint!("Paste your invitation: ");
            io::stdin().lock().take(limit).read_line(&mut text).map_err(unreadable)?;
        }
        None => {
            io::stdin().lock().take(limit).read_to_string(&mut text).map_err(unreadable)?;
        }
    }
    Ok(text)
}

#[derive(Serialize)]
struct PassphraseView {
    home: std::path::PathBuf,
    sealed: bool,
}

/// `escrow passphrase`
pub(crate) fn passphrase(
    output: &Output,
    mut home: Home,
    new_file: Option<&Path>,
    remove: bool,
) -> Result<Exit, Failure> {
    let chosen = match remove {
        true => None,
        false => passphrase::choose(new_file)?,
    };
    home.set_passphrase(chosen.as_ref())?;
    let view = PassphraseView { home: home.dir().to_owned(), sealed: chosen.is_some() };
    output.record(&view, |view| {
        let state = if view.sealed { "sealed under a passphrase" } else { "not sealed" };
        format!("The keys in {} are {state}.", view.home.display())
    })?;
    if view.sealed {
        output.say(
            "Nobody can recover a forgotten passphrase. Backups made before are not sealed by it.",
        );
    }
    Ok(Exit::Done)
}

/// `escrow whoami`
pub(crate) async fn whoami(output: &Output, home: &Home) -> Result<Exit, Failure> {
    show_self(output, home).await?;
    Ok(Exit::Done)
}

/// Who a home belongs to: as the vault shows it or, where that is away, by the home alone.
async fn show_self(output: &Output, home: &Home) -> Result<(), Failure> {
    if home.owner()?.path == MemberPath::operator() {
        return show_operator(output, home);
    }
    let view = match as_shown(home).await {
        Ok(view) => view,
        Err(fault) if fault.may_pass() => {
            output.warn(format!("your standing is not checked: {fault}"));
            MemberView::at_home(home)?
        }
        Err(fault) => return Err(fault.into()),
    };
    output.record(&view, MemberView::text)
}

async fn as_shown(home: &Home) -> Result<MemberView, ClientError> {
    let mut session = Session::open(home.clone()).await?;
    let path = session.owner.path.clone();
    let expires_at = session::expires_at(&session.home.certificate()?)?;
    let organisation = session.own_organisation().await?;
    let member = organisation.member(&path.name).ok_or_else(|| unknown(&path))?;
    Ok(MemberView::new(&organisation, path.name.as_str(), member, true, Some(expires_at)))
}

fn unknown(member: &MemberPath) -> ClientError {
    Refusal::NotFound(member.to_string()).into()
}

#[derive(Serialize)]
struct OperatorView {
    name: &'static str,
    fingerprint: String,
    vault: String,
    certificate_expires_at: Timestamp,
}

fn show_operator(output: &Output, home: &Home) -> Result<(), Failure> {
    let view = OperatorView {
        name: "operator",
        fingerprint: key_fingerprint(&home.keys()?.statement.public()),
        vault: home.vault()?.log.origin.to_string(),
        certificate_expires_at: session::expires_at(&home.certificate()?)?,
    };
    output.record(&view, |view| {
        fields(&[
            ("member", "the operator: invites organisations, belongs to none".to_owned()),
            ("vault", view.vault.clone()),
            ("fingerprint", view.fingerprint.clone()),
            ("certificate expires", view.certificate_expires_at.to_string()),
        ])
    })
}

/// `escrow members`
pub(super) async fn members(
    output: &Output,
    session: &mut Session,
    org: Option<OrganisationName>,
) -> Result<Exit, Failure> {
    let hint = "say whose members you want to see: escrow members ORGANISATION";
    let name = named_or_own(session, org, hint)?;
    let trusted = session.home.pins()?.contains_key(&name);
    let is_operator = session.owner.path == MemberPath::operator();
    let shown = session.shown_organisation(&name).await;
    let organisation = shown.map_err(|fault| match fault.code() {
        "NOT_FOUND" if !trusted && !is_operator => {
            let message = format!("{name} is not known here, and not trusted in this home");
            let hint = format!(
                "compare its fingerprint by telephone, then run `escrow trust {name} FINGERPRINT`"
            );
            Failure::failed("NOT_FOUND", message, hint)
        }
        _ => fault.into(),
    })?;
    let joined = organisation
        .members
        .iter()
        .map(|(name, member)| MemberView::new(&organisation, name.as_str(), member, trusted, None));
    let now = Timestamp::from(SystemTime::now());
    let open = organisation.invitations.values().filter(|open| now < open.expires_at);
    let awaited = open.map(|open| MemberView::awaited(&organisation, open, trusted));
    let views: Vec<_> = joined.chain(awaited).collect();
    output.list(&views, &["MEMBER", "STATE", "", "MEMBER FINGERPRINT"], MemberView::row)?;
    if let Some(key) = &organisation.key {
        output.say(&format!("organisation fingerprint of {name}: {}", key_fingerprint(key)));
    }
    // The operator trusts nobody, and nothing of it rests on that.
    if !trusted && !is_operator {
        output.say(&format!(
            "{name} is not trusted in this home: compare the fingerprint by telephone, then run \
             `escrow trust {name} FINGERPRINT`"
        ));
    }
    Ok(Exit::Done)
}

/// `escrow confirm`
pub(super) async fn confirm(
    output: &Output,
    session: &mut Session,
    member: &MemberPath,
    administrator: bool,
) -> Result<Exit, Failure> {
    let organisation = session.organisation(&member.organisation).await?;
    let joined = organisation.member(&member.name).ok_or_else(|| unknown(member))?;
    let fingerprint = key_fingerprint(&joined.key);
    match joined.standing {
        Standing::Pending => {}
        Standing::Active { .. } => {
            let refusal = Refusal::Already { who: member.to_string(), what: "been confirmed" };
            return Err(ClientError::from(refusal).into());
        }
        Standing::Revoked { .. } => {
            return Err(ClientError::from(Refusal::Revoked(member.clone())).into());
        }
    }
    let rights = if administrator { ", and may invite and confirm colleagues" } else { "" };
    output.ask(&format!(
        "This says that the keys with member fingerprint\n  {fingerprint}\nare those of \
         {member}{rights}. Compare it with that person first; if it is another, somebody has \
         stolen the invitation: `escrow revoke {member} --left` shuts that one out."
    ))?;
    identity::confirm(session, member, administrator).await?;
    let looked = session.organisation(&member.organisation).await;
    let organisation =
        settled(output, session, looked, |session| session.known(&member.organisation).cloned())?;
    if let Some(joined) = organisation.member(&member.name) {
        let view = MemberView::new(&organisation, member.name.as_str(), joined, true, None);
        output.record(&view, MemberView::text)?;
    }
    output.say(
        "To give the new member your organisation's shares, run `escrow agreement reseal` for \
         each agreement.",
    );
    Ok(Exit::Done)
}

/// `escrow revoke`
pub(super) async fn revoke(
    output: &Output,
    session: &mut Session,
    member: &MemberPath,
    reason: Reason,
) -> Result<Exit, Failure> {
    let effect = match reason {
        Reason::Left => "What was done before stands.".to_owned(),
        Reason::CompromisedSince(since) => format!(
            "What was done since {since} is void in requests that are not released, and whom this \
             member has let in since then is to be confirmed anew."
        ),
    };
    identity::may_revoke(session, member, reason).await?;
    let own = if *member == session.owner.path { " THIS IS YOU." } else { "" };
    output.ask(&format!(
        "This takes all authority from {member}, for good and at once.{own} {effect}"
    ))?;
    let told = identity::revoke(session, member, reason).await?;
    let looked = session.own_organisation().await;
    let organisation =
        settled(output, session, looked, |session| session.known(&member.organisation).cloned())?;
    let found = organisation.member(&member.name).ok_or_else(|| unknown(member))?;
    let view = MemberView::new(&organisation, member.name.as_str(), found, true, None);
    output.record(&view, MemberView::text)?;
    match told {
        Ok(agreements) => output.say(&format!(
            "The parties of {} have been told.",
            count(agreements, "agreement", "agreements")
        )),
        Err(fault) => output.warn(format!(
            "not all agreements' parties have been told ({fault}); let an administrator run the \
             same again"
        )),
    }
    output.say(
        "Shares that were in that member's home still are: with another holder's share and the \
         bundle they could open it.",
    );
    output.say(&format!(
        "What {member} requested can be opened in that home only: withdraw it, and request it \
         anew. Whoever goes on in the person's place is invited under another name, confirmed, \
         and gets the shares by `escrow agreement reseal`."
    ));
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct TrustView<'a> {
    organisation: &'a OrganisationName,
    fingerprint: Fingerprint,
}

/// `escrow trust`
pub(crate) fn trust(
    output: &Output,
    home: &Home,
    org: &OrganisationName,
    fingerprint: Fingerprint,
    replace: bool,
) -> Result<Exit, Failure> {
    let known = home.pins()?.get(org).copied();
    let pinning = if replace { Pinning::Replace } else { Pinning::Keep };
    home.check_pin(org, fingerprint, pinning)?;
    let compared = format!(
        "This trusts {org} in this home by the fingerprint of its organisation key:\n  \
         {fingerprint}\nCompare it with them by telephone or on paper first."
    );
    match known.filter(|known| *known != fingerprint) {
        Some(known) => {
            output.warn(format!(
                "{org} is trusted here with another fingerprint, {known}: whoever has the new key \
                 could take part in its place"
            ));
            output.ask(&format!("{compared} IT REPLACES {known}."))?;
        }
        None if known.is_none() => output.ask(&compared)?,
        None => {}
    }
    home.pin(org, fingerprint, pinning)?;
    let view = TrustView { organisation: org, fingerprint };
    output.record(&view, |_| format!("{org} is trusted here with fingerprint {fingerprint}"))?;
    Ok(Exit::Done)
}
