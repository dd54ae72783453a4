//! The command line of `escrow`: a contract that scripts depend on.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::cli::due::{DueDate, StartDate};
use crate::crypto::note::NoteKey;
use crate::crypto::timestamp::Hash;
use crate::domain::id::{
    EventKind, Fingerprint, Malformed, MemberName, MemberPath, OrganisationName, RuleName,
};
use crate::domain::request::State;
use crate::domain::statement::{Acknowledged, Attested, Basis, Duty, DutyKind};
use crate::domain::text::Text;
use crate::domain::time::{Span, Timestamp};

const EXITS: &str = "\
Exit codes: 0 done, 1 refused or failed, 2 called wrongly, 3 not yet (it takes more time, or other \
people), 4 vault unreachable. stdout is data, stderr is speech. An id may be shortened to its \
prefix and four characters or more. Commands that sign show what is signed and ask.";

const INVITE: &str = "\
Examples:
  escrow --home DIR/operator invite --org hanbit-parts --member minji > for-minji
  escrow invite --member dana --valid 12h";

const JOIN: &str = "\
Example: escrow join for-minji
Afterwards back up your home: nobody else has your keys.";

const STATUS: &str = "\
To see how things stand is no statement. To show a request under a rule by which your organisation \
may object, or that it reviews, is: your client signs that it was seen.";

const SHOW: &str = "\
To show a request under a rule by which your organisation may object, or that it reviews, is a \
statement: your client signs that it was seen. Notice counts from when a request was known, and not \
from a late look: that may be the last thing that its release waits for.";

const REQUESTS: &str = "\
To list a request under a rule by which your organisation may object, or that it reviews, is a \
statement: your client signs that it was seen. Notice counts from when a request was known, and not \
from a late look: that may be the last thing that its release waits for. It is signed of those that are \
listed alone.";

const DEPOSIT: &str = "\
Examples:
  escrow deposit agr_2bxqk7 ./process-recipe --exclude '*.tmp'
  escrow deposit agr_2bxqk7 sealed-before.age
  tar c recipe | age -r RECIPIENT | escrow deposit agr_2bxqk7 - --tar

Files are sealed while they are sent, and take no room in your home. A lost connection is gone on \
with from the last byte that the vault has (--retry-for); a .age file also by running it again within \
a day. What comes on standard input is kept in your home meanwhile. Without --tar, a file that was \
sealed before counts as one file and is written as one when it is retrieved.";

const REGISTER: &str = "\
Examples:
  escrow register lab-notebook.pdf
  tar cf site.tar site && escrow register site.tar

Nothing but this leaves your computer: the label (the file's name unless you say otherwise), the \
size and the SHA-256. The vault's operator sees them, and your colleagues; other organisations see \
nothing. Keep the file as it is: only the very same bytes prove anything later.

Who sees a digest can try whether a guess has it. Register what is short or easy to guess, such as \
a password or a filled-in form, in an archive together with a file of random bytes.

The vault's time-stamp over the digest (RFC 3161) is kept in your home, below stamps, with the \
certificate of the CA that vouches for it:
  S=~/.config/escrow-vault/stamps
  openssl ts -verify -data lab-notebook.pdf -in $S/reg_….tsr -CAfile $S/reg_….pem";

const CHECK: &str = "\
Examples:
  escrow agreement check terms.toml --operator vault-house
  escrow agreement check terms.toml --one-roof orient-display,trade-secret-center

It takes no home and no vault, and no fingerprints. It ends with 1 where something is an error, such \
as a file named in the terms that cannot be opened; advice is for people to weigh. Try the rules next: \
escrow agreement simulate.";

const SIMULATE: &str = "\
Examples:
  escrow agreement simulate terms.toml
  escrow agreement simulate terms.toml walk.txt --from 2027-03-01

A walk is a step a line, in the words of the commands that people run later; what those take for people \
to read alone, such as --purpose and --reason, may be left out:
  deposit
  request orient-display/junho --rule bankruptcy
  refused approve orient-display/junho      # who requests never consents
  show hanbit-parts/minji
  approve trade-secret-center/sora
  wait 10d

Members are whoever you name; each has the organisation's share. `wait` alone goes on to when the next \
thing happens by itself, `until DATE` to a day. What there is several of is counted: `approve \
hanbit-parts/minji 2` is about the second request, and without a number it is about the last. After \
each step it is told what is missing, who can supply it, and what happens next, as `escrow show` \
tells it. Nothing is signed, and it takes no home and no vault. At a prompt, `help` lists the steps.
It ends with 1 where a step was refused, unless its line begins with `refused`; and where one that \
does was not.";

const TERMS: &str = "\
Examples:
  escrow agreement terms agr_2bxqk7 > terms.toml
  escrow agreement check terms.toml

They are the terms in force, and before all have countersigned, those that are proposed. The paper \
contract and the certificate of an authority for time-stamps are files of their own: where the terms \
name one, a remark says which it is.";

const REQUEST: &str = "\
Examples:
  escrow request dep_4mzt2c --rule joint --purpose 'second source for line 7'
  escrow request dep_4mzt2c --rule joint --purpose 'audit of 2026' --destroy-by 2027-03-01

A day lasts until its end in UTC; a time is written 2027-03-01T12:00:00Z. What you promise to do by \
then is signed with the request, and every approver reads it: `escrow acknowledge` says that it was \
done.
`escrow show` with the agreement's id has the rules. Only the home that requests can retrieve.";

const APPROVE: &str = "\
Exits with 3 where something is missing that only time or other people can bring; `escrow approve` \
again, --wait or `escrow attend` contributes your share then.";

const RETRIEVE: &str = "\
Example: escrow retrieve req_7hq2mk --out ./received
A request is retrieved once: its secret is erased when the bundle is open, with --raw too. Where its \
rule bounds how often a bundle is fetched, that counts how often the vault hands out the sealed bytes: \
what is broken off and goes on within a day counts once.";

const ACKNOWLEDGE: &str = "\
Example: escrow acknowledge req_7hq2mk --destroyed
Each organisation says each of these once, and cannot take it back. A duty to destroy is fulfilled \
by --destroyed alone, a duty to return by --returned of the requester's organisation; the \
depositor's own --returned, that it has it back, is shown beside it.";

const ATTEST: &str = "\
Examples:
  escrow attest req_7hq2mk --event bankruptcy --evidence ruling.pdf
  escrow attest req_7hq2mk --order --evidence order.pdf
Name the event as the rule does. The documents stay with you; their digests are signed. What was \
attested cannot be taken back.";

const SETTLE: &str = "\
Examples:
  escrow settle req_7hq2mk --joint
  escrow settle req_7hq2mk --award --evidence award.pdf
It concerns every objection that stands now, and ends them once as many have said so as the rule asks \
for. Whoever decides against the request says nothing: the objection stands. The documents stay with \
you; their digests are signed.";

const REMIND: &str = "\
Example: escrow remind agr_2bxq7k --org hanbit-parts
A rule with the trigger `silence` opens to requests only after such reminders, so far apart as it \
says; `escrow show` tells what is missing still. Whatever the party signs in the agreement makes \
them void. A reminder is an entry in the log: call as well.";

const AMEND: &str = "\
Example: escrow agreement amend agr_2bxq7k terms-of-2027.toml
The file has the terms whole, as they are to be. Parties, fingerprints, holders and `quorum` stay as \
they are: for other parties, propose another agreement. Requests that are open stay under the terms \
they were made under.";

const AUDIT: &str = "\
Example: escrow audit agr_2bxq7k --about dep_7hq2mk --since 2026-11-01T00:00:00.000Z
Kinds are those that --json puts out.

An export holds every event that you may see of the agreement, and the log it stands in, so that \
anybody can replay it without the vault: escrow verify. It tells whoever has it what the statements \
say; it opens nothing.";

const RECEIPT: &str = "\
Example: escrow receipt dep_2bxq7k --out recipe-receipt.tgz
It holds the signed statements with the proof that they are in the vault's log, and a script that \
verifies them without this program. It tells whoever has it what the statements say: parties, labels, \
purposes; never contents.";

const VERIFY: &str = "\
Examples:
  escrow verify recipe-receipt.tgz --file recipe.pdf
  escrow verify recipe-audit.tgz --org hanbit-parts=FINGERPRINT --checkpoint theirs
Exits with 1 where anything is off, and says the first thing that is. What is proved and what is not \
stands in the README.txt within.";

/// Deposit confidential bundles with an institution, and hand them out only when two agree.
///
/// A first time: `escrow demo` tells the whole story on a vault of its own.
#[derive(Debug, Parser)]
#[command(name = "escrow", version, max_term_width = 100, after_help = EXITS)]
pub struct Cli {
    /// Your home: keys and memory [default: $ESCROW_HOME, else the XDG config directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// A private file with the passphrase of your home [default: asked at the terminal]
    #[arg(long, global = true, value_name = "FILE", env = "ESCROW_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Put out JSON: one object, or one a line for lists
    #[arg(long, global = true)]
    pub json: bool,
    /// Sign without asking (for scripts)
    #[arg(long, global = true)]
    pub yes: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell the whole story on a temporary vault of its own
    ///
    /// Nothing is left behind, however it ends; but whoever kills it with SIGKILL has to delete its
    /// directory, escrow-demo-…, from the temporary directory.
    Demo {
        /// What to deposit [default: a sample]
        path: Option<PathBuf>,
    },
    /// Join with an invitation; makes your keys in your home
    #[command(after_help = JOIN)]
    Join {
        /// The invitation's file [default: standard input, or a prompt]
        file: Option<PathBuf>,
    },
    /// Set, change or remove the passphrase that seals your keys
    Passphrase {
        /// A private file with the new passphrase [default: asked at the terminal]
        #[arg(long, value_name = "FILE")]
        new_file: Option<PathBuf>,
        /// Have no passphrase from now on
        #[arg(long, conflicts_with = "new_file")]
        remove: bool,
    },
    /// Show who you are here, with the fingerprints to compare
    Whoami,
    /// Trust an organisation's key, after comparing its fingerprint by telephone or on paper
    Trust {
        /// Which organisation
        org: OrganisationName,
        /// The fingerprint they told you
        fingerprint: Fingerprint,
        /// Put it in place of another fingerprint that was a mistake
        #[arg(long)]
        replace: bool,
    },
    /// Propose, accept, end agreements
    #[command(subcommand)]
    Agreement(AgreementCommand),
    /// Read short pages on the practice: what to deposit, whom to choose, how to keep shares, and what
    /// the words of the terms mean
    Guide {
        /// Which page [default: list them]
        topic: Option<String>,
    },
    /// Print completions for a shell; bash looks in ~/.local/share/bash-completion/completions
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual pages, one a command; man looks in ~/.local/share/man/man1
    Man {
        /// A directory; made if it is not there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Verify receipts and exports: by anybody, without a home and without the vault
    #[command(after_help = VERIFY)]
    Verify {
        /// Receipts, or exported agreements
        #[arg(required = true, value_name = "FILE")]
        receipts: Vec<PathBuf>,
        /// A file that has to be the registered document or the sealed bundle; in an export, evidence
        /// or the contract, too
        #[arg(long, value_name = "DOCUMENT")]
        file: Option<PathBuf>,
        /// The log's key, as you know it from elsewhere (C2SP vkey)
        #[arg(long, value_name = "VKEY")]
        log: Option<NoteKey>,
        /// What else is known from elsewhere
        #[command(flatten)]
        compare: Compare,
    },
    /// What takes a member's home and a connection.
    #[command(flatten)]
    Member(MemberCommand),
}

/// What members do.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Invite an organisation's first member (operator) or a colleague: prints one line
    #[command(after_help = INVITE)]
    Invite {
        /// Whose member [default: your own organisation]
        #[arg(long)]
        org: Option<OrganisationName>,
        /// Under which name
        #[arg(long)]
        member: MemberName,
        /// How long the invitation stays open: a number and s, m, h or d, at most 30d
        #[arg(long, default_value = "7d")]
        valid: Span,
    },
    /// Show whether vault, certificate and standing are in order, and what waits for you
    #[command(after_help = STATUS)]
    Status,
    /// List the members of your organisation, or of another that you trust; the operator, of any
    Members {
        /// Which organisation
        org: Option<OrganisationName>,
    },
    /// Confirm a colleague's keys, after comparing the member fingerprint with that person
    Confirm {
        /// ORGANISATION/MEMBER
        member: MemberPath,
        /// The member may invite and confirm colleagues, too
        #[arg(long)]
        administrator: bool,
    },
    /// Go on with a vault that was recovered: hand in what this home remembers, and take your
    /// agreements up again
    Resume,
    /// Take a colleague's authority away, at once and for good
    #[command(group(clap::ArgGroup::new("reason").required(true)))]
    Revoke {
        /// ORGANISATION/MEMBER
        member: MemberPath,
        /// The person has left; what was done before stands
        #[arg(long, group = "reason")]
        left: bool,
        /// Somebody else may have had the keys since then; what was done since is void. A time
        /// such as 2026-11-24T09:30:00.000Z
        #[arg(long, group = "reason", value_name = "TIME")]
        compromised_since: Option<Timestamp>,
    },
    /// Seal now, deposit later; keeps the proof of origin beside the sealed file
    Seal {
        /// Which agreement
        agreement: String,
        /// Files and directories
        #[command(flatten)]
        what: What,
        /// The sealed file to write
        #[arg(long, value_name = "FILE.age")]
        out: PathBuf,
    },
    /// Deposit files: packed, sealed and uploaded; a single .age file, or `-`, goes as it is
    #[command(after_help = DEPOSIT)]
    Deposit {
        /// Which agreement
        agreement: String,
        /// Files and directories, or one .age file, or `-` for one on standard input
        #[command(flatten)]
        what: What,
        /// What to call it [default: the first path's name]
        #[arg(long)]
        label: Option<Text>,
        /// An .age file of yours holds a tar archive, to be unpacked when retrieved
        #[arg(long)]
        tar: bool,
        /// How long the vault is tried again once the connection is lost, before the upload is given up
        #[arg(long, value_name = "TIME", default_value = "2m")]
        retry_for: Span,
    },
    /// List the deposits of an agreement, the oldest first
    Deposits {
        /// Which agreement
        agreement: String,
        /// At most so many; if there are more, where to go on is told on stderr [default: all]
        #[arg(long, value_name = "N")]
        limit: Option<NonZeroUsize>,
        /// Those behind this deposit
        #[arg(long, value_name = "DEPOSIT")]
        after: Option<String>,
    },
    /// Register that files exist, by their digests: a proof for later; the content stays here
    #[command(after_help = REGISTER)]
    Register {
        /// Files; each is a registration of its own
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// What to call it [default: the file's name]
        #[arg(long)]
        label: Option<Text>,
        /// Have a longer digest time-stamped than SHA-256, which is registered in any case
        #[arg(long)]
        hash: Option<LongerHash>,
    },
    /// List what your organisation has registered
    Registrations,
    /// Show an agreement, deposit, request or registration; the beginning of its id will do
    #[command(after_help = SHOW)]
    Show {
        /// Its id, or the beginning
        id: String,
    },
    /// Ask for a deposit, under one of the agreement's rules
    #[command(after_help = REQUEST)]
    Request {
        /// Which deposit
        deposit: String,
        /// Under which rule
        #[arg(long)]
        rule: RuleName,
        /// What for; every approver reads it
        #[arg(long)]
        purpose: Text,
        /// A document that supports it, named by digest; repeat for more
        #[arg(long, value_name = "FILE")]
        evidence: Vec<PathBuf>,
        /// What you promise to do with the bundle
        #[command(flatten)]
        duty: Promised,
    },
    /// List requests, with what each wants of you: attestation, look, consent, share, settlement,
    /// retrieve, acknowledge, or that you may object
    #[command(after_help = REQUESTS)]
    Requests {
        /// Only those that wait for you
        #[arg(long)]
        waiting_for_me: bool,
        /// Only those whose bundle should have been returned or destroyed by now
        #[arg(long)]
        overdue: bool,
    },
    /// Do what is due from you on a request: consent, contribute your share, or both
    #[command(after_help = APPROVE)]
    Approve {
        /// Which request
        request: String,
        /// A document that shows that those who may object were notified of the request, named
        /// by digest; for when they do not look by themselves
        #[arg(long, value_name = "FILE")]
        notified: Option<PathBuf>,
        /// Wait until your share can be contributed, and contribute it
        #[arg(long)]
        wait: bool,
    },
    /// Block a request
    Object {
        /// Which request
        request: String,
        /// Why; every party reads it
        #[arg(long)]
        reason: Text,
    },
    /// Attest that what a request's rule asks for has happened
    #[command(after_help = ATTEST)]
    Attest {
        /// Which request
        request: String,
        /// What has happened
        #[command(flatten)]
        what: Happened,
        /// A document that shows it, named by digest; repeat for more
        #[arg(long, required = true, value_name = "FILE")]
        evidence: Vec<PathBuf>,
    },
    /// Say that the objections to a request are settled, as its rule lets you
    #[command(after_help = SETTLE)]
    Settle {
        /// Which request
        request: String,
        /// On what basis
        #[command(flatten)]
        basis: SettledOn,
        /// A document that shows it, named by digest; repeat for more. An award and an order need one
        #[arg(long, value_name = "FILE")]
        evidence: Vec<PathBuf>,
    },
    /// Take back your organisation's request, or its objection
    Withdraw {
        /// Which request
        request: String,
        /// The objection, not the request
        #[arg(long)]
        objection: bool,
    },
    /// Fetch, open, check and unpack a released bundle
    #[command(after_help = RETRIEVE)]
    Retrieve {
        /// Which request
        request: String,
        /// A directory that does not exist yet; with --raw a file
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Write what was sealed as one file, without unpacking
        #[arg(long)]
        raw: bool,
    },
    /// Say what became of a bundle that was handed out
    #[command(after_help = ACKNOWLEDGE)]
    Acknowledge {
        /// Which request
        request: String,
        /// Which of these
        #[command(flatten)]
        what: Became,
    },
    /// Remind a party whose silence counts under a rule of an agreement
    #[command(after_help = REMIND)]
    Remind {
        /// Which agreement
        agreement: String,
        /// Whom [default: the only other party whose silence counts]
        #[arg(long)]
        org: Option<OrganisationName>,
    },
    /// Tell of requests as they change, until interrupted
    Watch {
        /// Only this request
        request: Option<String>,
        /// End once it is in this state (open, notice, objected, satisfied, released, retrieved,
        /// withdrawn or expired); fail if it no longer can be
        #[arg(long, value_name = "STATE", requires = "request")]
        until: Option<UntilState>,
    },
    /// Keep running: contribute to what you have consented to, once it is due
    Attend,
    /// Write a receipt of a deposit, request or registration that proves itself, to anybody
    #[command(after_help = RECEIPT)]
    Receipt {
        /// Its id, or the beginning
        id: String,
        /// A file that does not exist yet, such as receipt.tgz
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Tell who did and saw what in an agreement
    #[command(after_help = AUDIT)]
    Audit {
        /// Which agreement
        agreement: String,
        /// What to leave out
        #[command(flatten)]
        only: Only,
        /// Write all of it to a file that does not exist yet, such as audit.tgz, for anybody to verify
        #[arg(
            long,
            value_name = "FILE",
            conflicts_with_all = ["by", "about", "kind", "since", "until"]
        )]
        export: Option<PathBuf>,
    },
}

/// What a verifier knows from elsewhere.
#[derive(Debug, Default, Args)]
pub struct Compare {
    /// A checkpoint or proof of the log from elsewhere, which an export has to continue; repeat for
    /// more
    #[arg(long, value_name = "NOTE")]
    pub checkpoint: Vec<PathBuf>,
    /// The fingerprint of an organisation's key, as you know it; repeat for more
    #[arg(long, value_name = "ORG=FINGERPRINT")]
    pub org: Vec<Pin>,
    /// The roots of time-stamping authorities, in PEM, that are to be believed and no others
    /// [default: those that came along, which you compare]
    #[arg(long, value_name = "FILE")]
    pub tsa_ca: Option<PathBuf>,
    /// The witnesses you trust, of whom enough must have cosigned the log (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// An organisation's key.
#[derive(Debug, Clone)]
pub struct Pin {
    /// Whose.
    pub organisation: OrganisationName,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

impl std::str::FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (organisation, fingerprint) =
            text.split_once('=').ok_or("an organisation, = and its fingerprint")?;
        let organisation = organisation.parse().map_err(|fault: Malformed| fault.to_string())?;
        let fingerprint = fingerprint.parse().map_err(|fault: Malformed| fault.to_string())?;
        Ok(Self { organisation, fingerprint })
    }
}

/// What a requester promises.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Promised {
    /// To return the bundle by the end of this day, UTC, or by this time
    #[arg(long, value_name = "DATE")]
    pub return_by: Option<DueDate>,
    /// To destroy it, with every copy, by the end of this day, UTC, or by this time
    #[arg(long, value_name = "DATE")]
    pub destroy_by: Option<DueDate>,
}

impl Promised {
    /// As it is signed.
    pub fn duty(&self) -> Option<Duty> {
        let duty = |kind| move |DueDate(by)| Duty { kind, by };
        let to_return = self.return_by.map(duty(DutyKind::Return));
        to_return.or_else(|| self.destroy_by.map(duty(DutyKind::Destroy)))
    }
}

/// What is attested.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Happened {
    /// An event of this kind, such as bankruptcy
    #[arg(long, value_name = "KIND")]
    pub event: Option<EventKind>,
    /// A court or a regulator has ordered the release
    #[arg(long)]
    pub order: bool,
}

impl Happened {
    /// As it is signed. One of them was given.
    pub fn what(self) -> Attested {
        self.event.map_or(Attested::Order, Attested::Event)
    }
}

/// On what basis objections are settled.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SettledOn {
    /// The parties to the dispute instruct together, each with a statement of its own
    #[arg(long)]
    pub joint: bool,
    /// You are the arbiter, and have decided so
    #[arg(long)]
    pub award: bool,
    /// A court or a regulator has ordered it, which you attest
    #[arg(long)]
    pub order: bool,
}

impl SettledOn {
    /// As it is signed. One of them was given.
    pub fn basis(&self) -> Basis {
        match self {
            Self { joint: true, .. } => Basis::Joint,
            Self { award: true, .. } => Basis::Award,
            Self { .. } => Basis::Order,
        }
    }
}

/// What became of a bundle.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Became {
    /// Your organisation, which requested it, has received it
    #[arg(long)]
    pub received: bool,
    /// It went back to the depositor; or, if that is you, you have it back
    #[arg(long)]
    pub returned: bool,
    /// Your organisation, which requested it, has destroyed it with every copy
    #[arg(long)]
    pub destroyed: bool,
    /// Your organisation, which requested it, has reported what was done with it
    #[arg(long)]
    pub reported: bool,
}

impl Became {
    /// As it is signed. One of them was given.
    pub fn what(&self) -> Acknowledged {
        match self {
            Self { reported: true, .. } => Acknowledged::Reported,
            Self { destroyed: true, .. } => Acknowledged::Destroyed,
            Self { returned: true, .. } => Acknowledged::Returned,
            Self { .. } => Acknowledged::Received,
        }
    }
}

/// What of an audit is told: all that fits every one of these.
#[derive(Debug, Default, Args)]
pub struct Only {
    /// Only what this member, or this organisation's members, did
    #[arg(long, value_name = "ORG[/MEMBER]")]
    pub by: Option<String>,
    /// Only what concerns this deposit with its requests, or this request
    #[arg(long, value_name = "ID")]
    pub about: Option<String>,
    /// Only what is of this kind, such as looked_at_agreement
    #[arg(long)]
    pub kind: Option<String>,
    /// Only from this time on, by the vault's clock
    #[arg(long, value_name = "TIME")]
    pub since: Option<Timestamp>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
}

/// A state that a request may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UntilState(pub State);

impl std::str::FromStr for UntilState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let state = State::ALL.into_iter().find(|state| state.word() == word);
        let words = || State::ALL.map(State::word).join(", ");
        state.map(Self).ok_or_else(|| format!("a request is one of: {}", words()))
    }
}

/// A digest longer than the one that is registered.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LongerHash {
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl From<LongerHash> for Hash {
    fn from(longer: LongerHash) -> Self {
        match longer {
            LongerHash::Sha384 => Self::Sha384,
            LongerHash::Sha512 => Self::Sha512,
        }
    }
}

/// What goes into a bundle.
#[derive(Debug, Args)]
pub struct What {
    /// Files and directories
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Leave out what matches, such as '*.tmp' or 'build/**'; repeat for more
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
}

/// What terms do not say of organisations, and advice on them takes into account.
#[derive(Debug, Args)]
pub struct KnownOfHouses {
    /// Who runs the vault, to be counted among those who could open bundles
    #[arg(long, value_name = "ORG")]
    pub operator: Option<OrganisationName>,
    /// Organisations with one owner, whoever runs the vault among them; repeat for another owner
    #[arg(long, value_name = "ORG,ORG")]
    pub one_roof: Vec<OneRoof>,
}

/// Organisations with one owner.
#[derive(Debug, Clone)]
pub struct OneRoof(pub BTreeSet<OrganisationName>);

impl std::str::FromStr for OneRoof {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(|name| name.trim().parse::<OrganisationName>());
        let names = names.collect::<Result<BTreeSet<_>, _>>().map_err(|fault| fault.to_string())?;
        match names.len() {
            0 | 1 => Err("name two organisations or more, with commas between".to_owned()),
            _ => Ok(Self(names)),
        }
    }
}

/// Agreements.
#[derive(Debug, Subcommand)]
pub enum AgreementCommand {
    /// Print commented terms to start from
    Template {
        /// two-party, three-party, registry, audit, clean-team or estate [default: three-party];
        /// `escrow guide terms` says what each word means
        name: Option<String>,
    },
    /// Say what is wrong with terms, what may be regretted, and what to write instead
    #[command(after_help = CHECK)]
    Check {
        /// The terms, in TOML
        terms: PathBuf,
        /// What terms do not say.
        #[command(flatten)]
        known: KnownOfHouses,
    },
    /// Try terms before anybody signs them: walk requests through their rules, with a clock moved by
    /// hand
    #[command(after_help = SIMULATE)]
    Simulate {
        /// The terms, in TOML
        terms: PathBuf,
        /// The steps, a line each [default: standard input, or a prompt]
        script: Option<PathBuf>,
        /// When it begins: a day, at midnight in UTC, or a time [default: now]
        #[arg(long, value_name = "DATE")]
        from: Option<StartDate>,
    },
    /// What takes a member's home and a connection.
    #[command(flatten)]
    Member(MemberAgreementCommand),
}

/// What members do with agreements.
#[derive(Debug, Subcommand)]
pub enum MemberAgreementCommand {
    /// Check terms, deal their release key and propose them to the parties
    Propose {
        /// The terms, in TOML
        terms: PathBuf,
        /// What terms do not say.
        #[command(flatten)]
        known: KnownOfHouses,
    },
    /// List your organisation's agreements
    List,
    /// Print the terms of an agreement as a file, to check them, to try them or to amend them
    #[command(after_help = TERMS)]
    Terms {
        /// Which agreement
        agreement: String,
    },
    /// Check the release key and countersign
    Accept {
        /// Which agreement
        agreement: String,
    },
    /// Refuse to enter an agreement
    Decline {
        /// Which agreement
        agreement: String,
    },
    /// Pass your organisation's share on to colleagues who lack it
    Reseal {
        /// Which agreement
        agreement: String,
    },
    /// Propose other terms for an agreement, and sign them for your organisation
    #[command(after_help = AMEND)]
    Amend {
        /// Which agreement
        agreement: String,
        /// The terms as they are to be, whole, in TOML
        terms: PathBuf,
    },
    /// Sign an amendment that another party proposed; it is in force when enough have
    Countersign {
        /// Which agreement
        agreement: String,
        /// Which amendment, by its SHA-256 or the beginning [default: the only one]
        #[arg(long, value_name = "SHA256")]
        amendment: Option<String>,
    },
    /// Sign for the end of an agreement; it ends when every party has
    Terminate {
        /// Which agreement
        agreement: String,
    },
}
