//! A member who deposits bundles that were sealed before, over mTLS.
//!
//! In the measured time, each deposit is stated with a nonce of its own, signed, sent with its bundle,
//! and its answer verified: that the event is of this very statement, and that the ledger key signed a
//! head which reaches it. Left out of it are sealing with its proof of origin, which other computers
//! do, and remembering the answer in the member's home, which is on another disk.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes as Buffer;
use escrow_vault::client::channel::Channel;
use escrow_vault::client::home::Home;
use escrow_vault::client::session::Session;
use escrow_vault::crypto::release_key::ReleaseKey;
use escrow_vault::crypto::seal::{Origin, Seal, Sealed};
use escrow_vault::crypto::{proofs, statement};
use escrow_vault::domain::agreement::Agreement;
use escrow_vault::domain::event::Act;
use escrow_vault::domain::id::AgreementId;
use escrow_vault::domain::statement::{Content, Deposit, Kind, Sealing};
use escrow_vault::domain::stream::Stream;
use escrow_vault::ledger::Entry;
use escrow_vault::ledger::head::SignedHead;
use escrow_vault::wire::v1::bundle_service_client::BundleServiceClient;
use escrow_vault::wire::v1::{DepositRequest, DepositResponse};
use rand_core::{OsRng, RngCore as _};

use crate::common::vault::Vault;
use crate::load::Caller;

/// Somebody who deposits, on a connection of its own.
pub(crate) struct Depositor {
    session: Arc<Session>,
    service: BundleServiceClient<Channel>,
    agreement: Agreement,
    origin: Origin,
    key: Arc<ReleaseKey>,
    sealed: Vec<(Sealed, Buffer)>,
}

impl Depositor {
    /// Connects as the depositor, and follows an agreement's stream.
    pub(crate) async fn connect(vault: &Vault, agreement: &AgreementId) -> Self {
        let home = Home::open(&vault.path("hanbit-parts")).unwrap();
        let mut session = Session::open(home).await.unwrap();
        let agreement = session.agreement(agreement).await.unwrap();
        let key = Arc::new(proofs::release_key(&agreement).unwrap());
        let depositor = agreement.terms.depositor().unwrap().clone();
        let origin = Origin { agreement: agreement.id.clone(), depositor };
        let service = BundleServiceClient::new(session.channel());
        let (session, sealed) = (Arc::new(session), Vec::new());
        Self { session, service, agreement, origin, key, sealed }
    }

    /// Seals so many bundles of so many bytes, to be deposited later.
    pub(crate) fn seal(&mut self, count: usize, bytes: usize) {
        self.sealed.extend((0..count).map(|_| {
            let mut content = vec![0; bytes];
            OsRng.fill_bytes(&mut content);
            let seal = Seal::new(&self.key, &self.origin, &mut OsRng).unwrap();
            let mut sealer = seal.begin(Vec::new(), NonZeroUsize::MIN).unwrap();
            sealer.write_all(&content).unwrap();
            let (sealed, bundle) = sealer.finish().unwrap();
            (sealed, Buffer::from(bundle))
        }));
    }

    fn state(&self, sealed: Sealed) -> Deposit {
        let Sealed { header, size, sha256, plaintext_size, plaintext_sha256, proof } = sealed;
        Deposit {
            made: self.session.made(),
            ground: self.session.ground(&self.agreement.id),
            release_key_sha256: self.agreement.key().unwrap().sha256,
            label: "measured".parse().unwrap(),
            kind: Kind::Full,
            content: Content::Opaque,
            sealing: Sealing::Escrow { proof, plaintext_sha256, plaintext_size },
            size,
            sha256,
            header_size: u32::try_from(header.size).unwrap(),
            header_sha256: header.sha256,
            ephemeral: header.ephemeral,
        }
    }
}

impl Caller for Depositor {
    async fn call(&mut self) {
        let (sealed, bundle) = self.sealed.pop().unwrap();
        let signed = self.session.sign(&self.state(sealed).into()).unwrap();
        let request = DepositRequest { statement: Some(signed.clone().into()), bundle };
        let reply = self.service.deposit(request).await.unwrap();
        let DepositResponse { entry, head } = reply.into_inner();
        let entry = Entry::try_from(entry.unwrap()).unwrap();
        let event = statement::event(&entry.payload).unwrap();
        assert_eq!(event.act, Act::Stated(signed));
        let stream = Stream::Agreement(self.agreement.id.clone());
        let head = SignedHead::try_from(head.unwrap()).unwrap();
        let saw = self.session.head(&stream, &head).unwrap().saw;
        let is_it = entry.stream == stream && event.sequence == entry.sequence;
        assert!(is_it && saw.sequence >= entry.sequence, "an answer to something else");
    }
}
