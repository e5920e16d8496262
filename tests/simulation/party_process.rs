//! A party's process: a thread that runs the party's own code, and waits for a word of the world wherever that waits for its
//! coordinator. So either the world runs or one of the processes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::protocol::party::PartyError;
use hashvfl_party::CoordinatorLine;

use crate::ground::party_config;
use crate::side::{Killed, Side};

/// What the world says to a process.
pub enum Word {
    Message(FromCoordinator),
    /// The coordinator is gone, or says no more.
    Gone,
    /// The process is killed: its folder is frozen.
    Die,
}

/// What becomes of a process.
enum Sign {
    Said(FromParty),
    Idle,
    Ended(End),
}

/// How a process has ended.
pub enum End {
    Well,
    /// With an error that every side has when a run is interrupted or ended by others.
    Interrupted,
    Failed(String),
    Killed,
}

/// A process that runs.
pub struct PartyProcess {
    words: Sender<Word>,
    signs: Receiver<Sign>,
    thread: Option<JoinHandle<()>>,
}

/// What a process said until it waited for a word, or ended.
pub struct Turn {
    pub said: Vec<FromParty>,
    pub end: Option<End>,
}

impl PartyProcess {
    /// Starts that of the party `name`, in the folder of its `side`.
    pub fn start(side: &Side, name: &'static str) -> Self {
        let (words, heard) = channel();
        let (signs, seen) = channel();
        let side = side.clone();
        let thread = thread::spawn(move || {
            side.observe();
            let mut line = Line { heard, signs: signs.clone() };
            let config = party_config(name, &side.folder());
            let ended = catch_unwind(AssertUnwindSafe(|| hashvfl_party::take_part(&config, &mut line)));
            let end = match ended {
                Ok(Ok(())) => End::Well,
                Ok(Err(error)) => end_of(&error),
                Err(payload) if payload.is::<Killed>() => End::Killed,
                Err(_) => End::Failed("it panicked".into()),
            };
            let _ = signs.send(Sign::Ended(end));
        });
        Self { words, signs: seen, thread: Some(thread) }
    }

    /// Waits until the process waits or ends.
    pub fn turn(&mut self) -> Turn {
        let mut said = Vec::new();
        loop {
            match self.signs.recv() {
                Ok(Sign::Said(message)) => said.push(message),
                Ok(Sign::Idle) => return Turn { said, end: None },
                Ok(Sign::Ended(end)) => {
                    self.join();
                    return Turn { said, end: Some(end) };
                }
                Err(_) => panic!("a process is gone without a word"),
            }
        }
    }

    /// Says `word` to the process, which waits for one.
    pub fn hear(&mut self, word: Word) -> Turn {
        // A process that has ended says so itself.
        let _ = self.words.send(word);
        self.turn()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Whatever it panicked with, it has said so.
            let _ = thread.join();
        }
    }
}

fn end_of(error: &anyhow::Error) -> End {
    let by_others = |cause: &PartyError| {
        matches!(cause, PartyError::Refused(_) | PartyError::Interrupted(_) | PartyError::TryAgain(_))
    };
    match error.downcast_ref().is_some_and(by_others) {
        true => End::Interrupted,
        false => End::Failed(format!("{error:#}")),
    }
}

/// The way of a process to its coordinator.
struct Line {
    heard: Receiver<Word>,
    signs: Sender<Sign>,
}

impl Line {
    /// The next message; `None` where the coordinator is gone.
    fn next(&mut self) -> Option<FromCoordinator> {
        let _ = self.signs.send(Sign::Idle);
        match self.heard.recv() {
            Ok(Word::Message(message)) => Some(message),
            Ok(Word::Gone) | Err(_) => None,
            Ok(Word::Die) => resume_unwind(Box::new(Killed)),
        }
    }
}

impl CoordinatorLine for Line {
    fn send(&mut self, message: FromParty) -> anyhow::Result<()> {
        let _ = self.signs.send(Sign::Said(message));
        Ok(())
    }

    fn receive(&mut self, _step: u64) -> anyhow::Result<FromCoordinator> {
        self.next().ok_or_else(|| PartyError::Interrupted("the coordinator is gone".into()).into())
    }

    fn receive_last(&mut self, _step: u64) -> anyhow::Result<Option<FromCoordinator>> {
        Ok(self.next())
    }

    fn flush(&mut self) {}

    fn is_leaving(&self) -> bool {
        false
    }

    fn returned(&self) -> u64 {
        0
    }
}
