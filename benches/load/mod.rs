//! Load on a server: so many callers at once, each with a connection of its own on which one call
//! follows the other.

pub(crate) mod depositor;
pub(crate) mod floor;
pub(crate) mod ways;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Barrier;

use crate::common::process;

/// Somebody who calls. What is prepared is prepared before; what is in a call is measured.
pub(crate) trait Caller: Send + 'static {
    /// Makes one call, and is back when its answer was found good.
    fn call(&mut self) -> impl Future<Output = ()> + Send;
}

/// What calls came to.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// Processor time of the server for each.
    pub(crate) server: Duration,
    /// The same of this process, which drives it.
    pub(crate) driver: Duration,
}

/// Has every caller make `each` calls, all at once. Gives the callers back.
pub(crate) fn drive<C: Caller>(
    runtime: &Runtime,
    callers: Vec<C>,
    each: usize,
    server: u32,
) -> (Rate, Vec<C>) {
    let count = callers.len();
    let taken = || (process::cpu(server), process::cpu(std::process::id()));
    let begin = Arc::new(Barrier::new(count + 1));
    let (wall, before, callers) = runtime.block_on(async {
        let running: Vec<_> = callers
            .into_iter()
            .map(|mut caller| {
                let begin = Arc::clone(&begin);
                tokio::spawn(async move {
                    begin.wait().await;
                    for _ in 0..each {
                        caller.call().await;
                    }
                    caller
                })
            })
            .collect();
        let before = taken();
        begin.wait().await;
        let began = Instant::now();
        let mut callers = Vec::with_capacity(count);
        for caller in running {
            callers.push(caller.await.unwrap());
        }
        (began.elapsed(), before, callers)
    });
    let after = taken();
    let calls = u32::try_from(count * each).unwrap();
    let rate = Rate {
        per_second: f64::from(calls) / wall.as_secs_f64(),
        server: (after.0 - before.0) / calls,
        driver: (after.1 - before.1) / calls,
    };
    (rate, callers)
}
