//! One source, from its start to the end of the process.

use super::{
    Fault, FaultReason, Health, Source,
    demand::Demand,
    election::{Election, Tenure},
    intake::Intake,
    mapping::Mapping,
};
use crate::http::App;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Pause after the first fault. It doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long the farewell of a source may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A source with all that it needs.
pub struct Runner {
    pub app: Arc<App>,
    pub source: Box<dyn Source>,
    pub health: Arc<Health>,
    pub mapping: Arc<Mapping>,
    /// Of a source that listens on demand.
    pub demand: Option<Arc<Demand>>,
}

impl Runner {
    /// Until it is told to stop. Then another replica may pull.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let fleet = self.app.control.fleet().cloned();
        let election = Election::new(self.app.log.clone(), fleet);
        loop {
            let tenure = tokio::select! {
                tenure = election.win(&self.health) => tenure,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            self.health.elected();
            let intake = self.intake(tenure);
            let stop = tokio::select! {
                () = pull(&mut *self.source, &intake) => false,
                () = intake.until_over() => false,
                _ = stopped.wait_for(|stopped| *stopped) => true,
            };
            intake.deaf();
            self.health.elsewhere();
            let _ = timeout(FAREWELL, self.source.leave()).await; // nobody relies on it
            let _ = timeout(FAREWELL, intake.keep_last_place()).await; // what comes again is recognised
            if stop {
                return intake.tenure.resign().await;
            }
        }
    }

    fn intake(&self, tenure: Tenure) -> Intake {
        Intake {
            app: self.app.clone(),
            health: self.health.clone(),
            mapping: self.mapping.clone(),
            demand: self.demand.clone(),
            places: Mutex::default(),
            tenure,
        }
    }
}

/// Begins anew after each fault, and never ends.
async fn pull(source: &mut dyn Source, intake: &Intake) {
    let mut faults = 0;
    loop {
        let before = intake.health.connected_at();
        let fault = match source.run(intake).await {
            Ok(()) => Fault::new(FaultReason::Closed, "the source ended"),
            Err(fault) => fault,
        };
        if intake.health.connected_at() != before {
            faults = 0; // it was connected in between
        }
        intake.deaf();
        intake.health.failed(&fault);
        sleep(pause(faults, rand::random())).await;
        faults += 1;
    }
}

/// The pause after so many faults in a row, between half and all of it: `spread` is 0 to 1.
fn pause(faults: u32, spread: f64) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(1 << faults.min(10))
        .min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + spread / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(pause(0, 1.0), FIRST_PAUSE);
        assert_eq!(pause(1, 0.0), FIRST_PAUSE);
        assert_eq!(pause(2, 1.0), FIRST_PAUSE * 4);
        assert_eq!(pause(u32::MAX, 1.0), LONGEST_PAUSE);
    }
}
