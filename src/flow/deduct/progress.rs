//! How far a running cycle is, and when it ends by what was seen and what the core takes at most.
//!
//! An estimate, and said as one: of the last answers' pace, never faster than the limits allow.

use std::time::Duration;

use super::{Core, Desk};
use crate::error::Fault;
use crate::flow::backfill;
use crate::store::deduction::{Cycle, CycleState, RoundProgress};

/// One look at a running cycle.
#[derive(Debug, Clone)]
pub struct Look {
    pub cycle: Cycle,
    pub answers: RoundProgress,
}

impl Look {
    /// Everybody was answered.
    pub fn settled(&self) -> bool {
        self.cycle.state == CycleState::Settled
    }

    /// What is left waits for a person: dead letters.
    pub fn stuck(&self) -> bool {
        self.answers.dead > 0
            && self.answers.batches_answered + self.answers.dead >= self.answers.batches
    }
}

impl Desk {
    /// Looks at a cycle that runs or ran.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn look(&self, cycle: &Cycle) -> Result<Look, Fault> {
        let cycle = self
            .store
            .cycle(cycle.cycle_id)
            .await?
            .unwrap_or_else(|| cycle.clone());
        let answers = self.store.cycle_answers(&cycle).await?;
        Ok(Look { cycle, answers })
    }
}

/// How long the rest takes: at the pace of `answered` people in `took`, and no faster than the limits allow.
pub fn remaining(core: &Core, now: &RoundProgress, answered: i64, took: Duration) -> Duration {
    let left = (now.people - now.answered).max(0);
    let at_best = backfill::remaining(&core.limits, core.receiver.people_max as usize, left);
    if answered <= 0 || left == 0 {
        return at_best;
    }
    let by_pace = took.as_secs_f64() * left as f64 / answered as f64;
    at_best.max(Duration::try_from_secs_f64(by_pace).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DestinationLimits;
    use crate::store::deduction::Receiver;

    #[test]
    fn an_estimate_follows_the_pace_and_never_beats_the_limits() {
        let receiver = Receiver {
            destination: "medical-core".into(),
            message: "deductions".into(),
            people_max: 500,
        };
        let core = Core {
            areas: vec![450_100],
            receiver,
            limits: DestinationLimits::per_second(10),
        };
        let now = RoundProgress {
            people: 20_000,
            answered: 10_000,
            ..RoundProgress::default()
        };
        let left = |answered, seconds| {
            remaining(&core, &now, answered, Duration::from_secs(seconds)).as_secs()
        };
        assert_eq!(
            left(0, 5),
            2,
            "20 requests at 10 a second, while nothing was answered yet"
        );
        assert_eq!(left(1_000, 5), 50, "the pace of the answers");
        assert_eq!(left(10_000, 1), 2, "the limits");
        let done = RoundProgress {
            answered: 20_000,
            ..now
        };
        assert_eq!(
            remaining(&core, &done, 10, Duration::from_secs(9)),
            Duration::ZERO
        );
    }
}
