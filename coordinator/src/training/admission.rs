//! Admission: greets parties, lets the right ones in, and waits until all are there.
//!
//! ```text
//!  stream --> Hello? --> Welcome(salt) --> Records? --> Accepted --> waits ... --> all there: the run
//!               |                            |                         |
//!               `--------- Refused ----------'                         `- left: the name is free again
//! ```
//!
//! It goes on for the whole run, so that who comes late or twice gets a refusal and not silence.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use hashvfl_core::protocol::coordinator::{Admission, check_excluded, check_records};
use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::records::{RecordsDigest, SALT_BYTES};
use hashvfl_core::settings::OnRefusal;
use hashvfl_core::{ExcludedRecords, PartyName};
use hashvfl_proto::status::describe;
use hashvfl_proto::v1::PartyMessage;
use rand::TryRng;
use tokio::sync::{mpsc, watch};
use tonic::Streaming;
use tracing::{info, warn};

use crate::config::Timeouts;
use crate::training::service::{Arrival, Outbound};

/// A party that was accepted, with its stream.
pub struct Joined {
    /// Its name.
    pub party: PartyName,
    /// Records that its policy does not allow the run for.
    pub excluded: ExcludedRecords,
    /// From it.
    pub inbound: Streaming<PartyMessage>,
    /// To it.
    pub outbound: Outbound,
}

// Few of them exist, each once a run: their size does not matter.
#[allow(clippy::large_enum_variant)]
enum Event {
    Ready(PartyName),
    Left(PartyName),
    Handed(Joined),
}

/// What every handshake needs.
struct HandshakeContext {
    admission: Mutex<Admission>,
    ids: Vec<String>,
    on_refusal: OnRefusal,
    handshake_s: u64,
    events: mpsc::Sender<Event>,
    start: watch::Receiver<bool>,
}

/// Admission to one run.
pub struct AdmissionService {
    events: mpsc::Receiver<Event>,
    start: watch::Sender<bool>,
    handshake: Arc<HandshakeContext>,
    join_s: u64,
}

impl AdmissionService {
    /// Opens admission for those who come out of `arrivals`; must be called within a runtime.
    pub fn open(
        admission: Admission,
        (ids, on_refusal): (Vec<String>, OnRefusal),
        timeouts: &Timeouts,
        mut arrivals: mpsc::Receiver<Arrival>,
    ) -> Self {
        let (event, events) = mpsc::channel(16);
        let (start, started) = watch::channel(false);
        let handshake = Arc::new(HandshakeContext {
            admission: Mutex::new(admission),
            ids,
            on_refusal,
            handshake_s: timeouts.handshake_s,
            events: event,
            start: started,
        });
        let shared_handshake = Arc::clone(&handshake);
        tokio::spawn(async move {
            while let Some(arrival) = arrivals.recv().await {
                tokio::spawn(receive(Arc::clone(&shared_handshake), arrival));
            }
        });
        Self { events, start, handshake, join_s: timeouts.join_s }
    }

    /// Waits for all parties and hands their streams over, in no particular order; `tell` hears who is there.
    pub async fn gather(mut self, tell: &mut impl FnMut(&PartyName)) -> anyhow::Result<Vec<Joined>> {
        let limit = Duration::from_secs(self.join_s);
        let everybody = tokio::time::timeout(limit, self.everybody(tell)).await;
        let count = everybody.map_err(|_| {
            let missing = names(&self.handshake.admission().missing());
            anyhow!(
                "waited {} s (timeouts.join_s) for {missing} to join: is it up, and its config right?",
                self.join_s
            )
        })??;
        self.start.send_replace(true);
        let mut joined = Vec::with_capacity(count);
        while joined.len() < count {
            match self.events.recv().await.context("admission has ended")? {
                Event::Handed(party) => joined.push(party),
                Event::Left(party) => bail!("{party} left just before the run began: start it again"),
                Event::Ready(_) => {}
            }
        }
        Ok(joined)
    }

    async fn everybody(&mut self, tell: &mut impl FnMut(&PartyName)) -> anyhow::Result<usize> {
        let mut ready = BTreeSet::new();
        let mut remind = tokio::time::interval(Duration::from_secs(30));
        remind.tick().await;
        loop {
            let missing = self.handshake.admission().missing();
            if missing.is_empty() && ready.len() == self.handshake.admission().expected() {
                return Ok(ready.len());
            }
            let event = tokio::select! {
                event = self.events.recv() => event.context("admission has ended")?,
                _ = remind.tick() => {
                    info!("still waiting for {}", names(&missing));
                    continue;
                }
            };
            match event {
                Event::Ready(party) => {
                    tell(&party);
                    ready.insert(party);
                }
                Event::Left(party) => {
                    ready.remove(&party);
                }
                Event::Handed(_) => {}
            }
        }
    }
}

impl HandshakeContext {
    fn admission(&self) -> std::sync::MutexGuard<'_, Admission> {
        // A panic while the lock was held cannot leave the sets half changed.
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn names(parties: &[PartyName]) -> String {
    parties.iter().map(PartyName::as_str).collect::<Vec<_>>().join(", ")
}

/// One party from its first message until it is handed to the run or has left.
async fn receive(handshake: Arc<HandshakeContext>, arrival: Arrival) {
    let Arrival { mut inbound, outbound } = arrival;
    let (party, excluded) = match greet(&handshake, &mut inbound, &outbound).await {
        Ok(greeted) => greeted,
        Err(error) => {
            warn!("refused a party: {error:#}");
            let _ = outbound.send(Ok(FromCoordinator::Refused { text: format!("{error:#}") }.into())).await;
            return;
        }
    };
    info!(%party, "joined");
    let mut start = handshake.start.clone();
    let _ = handshake.events.send(Event::Ready(party.clone())).await;
    tokio::select! {
        biased;
        _ = async { start.wait_for(|started| *started).await.is_ok() } => {
            let _ = handshake.events.send(Event::Handed(Joined { party, excluded, inbound, outbound })).await;
        }
        message = inbound.message() => {
            let why = match message {
                Ok(Some(message)) => match FromParty::try_from(message) {
                    Ok(FromParty::Failed { text }) => text,
                    _ => "it sent a message before the run began".to_string(),
                },
                Ok(None) => "it closed its stream".to_string(),
                Err(status) => describe(&status),
            };
            warn!(%party, "left before the run began: {why}");
            handshake.admission().release(&party);
            let _ = handshake.events.send(Event::Left(party)).await;
        }
    }
}

async fn greet(
    handshake: &Arc<HandshakeContext>,
    inbound: &mut Streaming<PartyMessage>,
    outbound: &Outbound,
) -> anyhow::Result<(PartyName, ExcludedRecords)> {
    let FromParty::Hello(hello) = next(handshake, inbound).await? else {
        bail!("the first message of a party must be Hello");
    };
    let party = hello.party.clone();
    handshake.admission().greet(&hello)?;
    let checked = compare_records(handshake, &party, inbound, outbound).await;
    if checked.is_err() {
        handshake.admission().release(&party);
    }
    checked.map(|excluded| (party, excluded))
}

async fn compare_records(
    handshake: &Arc<HandshakeContext>,
    party: &PartyName,
    inbound: &mut Streaming<PartyMessage>,
    outbound: &Outbound,
) -> anyhow::Result<ExcludedRecords> {
    let mut salt = [0; SALT_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut salt).context("cannot draw a salt from the operating system")?;
    let gone = |_| anyhow!("{party} left during the handshake");
    outbound.send(Ok(FromCoordinator::Welcome { salt }.into())).await.map_err(gone)?;
    let shared_handshake = Arc::clone(handshake);
    let digesting = tokio::task::spawn_blocking(move || {
        RecordsDigest::of(&salt, shared_handshake.ids.iter().map(String::as_str))
    });
    let FromParty::Records { digest: theirs, excluded } = next(handshake, inbound).await? else {
        bail!("{party} must send Records after Welcome");
    };
    let ours = digesting.await.context("digesting the record ids")?;
    check_records(party, ours, theirs)?;
    check_excluded(party, &excluded, (handshake.ids.len(), handshake.on_refusal))?;
    outbound.send(Ok(FromCoordinator::Accepted.into())).await.map_err(gone)?;
    Ok(excluded)
}

async fn next(
    handshake: &HandshakeContext,
    inbound: &mut Streaming<PartyMessage>,
) -> anyhow::Result<FromParty> {
    let limit_s = handshake.handshake_s;
    let received = tokio::time::timeout(Duration::from_secs(limit_s), inbound.message()).await;
    let received = received.map_err(|_| anyhow!("no message within {limit_s} s (timeouts.handshake_s)"))?;
    let message = received.map_err(|status| anyhow!("{}", describe(&status)))?;
    Ok(FromParty::try_from(message.context("the party closed its stream during the handshake")?)?)
}
