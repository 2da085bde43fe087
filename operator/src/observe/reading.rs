//! What of a replica's metrics is looked at.

/// What a replica says about itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Streams that are open.
    pub streams: u64,
    /// Bytes that it has handed to them since it started.
    pub delivered: u64,
    /// Seconds since what its streams get now was published.
    pub lag: f64,
}

/// Why a replica's answer says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// No connection, or it broke.
    #[error("it cannot be reached on its admin port")]
    Connection,
    /// Not in time.
    #[error("it does not answer in time on its admin port")]
    Timeout,
    /// Not what a relay answers.
    #[error("its answer is not that of a relay")]
    Foreign,
}

impl Reading {
    /// Reads the text of `/metrics`.
    pub fn of(text: &str) -> Result<Self, Unclear> {
        let streams = sample(text, "sse_relay_streams ").ok_or(Unclear::Foreign)?;
        let lag = sample(text, "sse_relay_log_lag_seconds ").ok_or(Unclear::Foreign)?;
        let delivered = sample(text, "sse_relay_delivered_bytes_total ").ok_or(Unclear::Foreign)?;
        let counted = (0.0..1e9).contains(&streams) && (0.0..1e18).contains(&delivered);
        if !counted || lag.is_nan() || lag < 0.0 {
            return Err(Unclear::Foreign);
        }
        Ok(Self {
            streams: streams as u64,
            delivered: delivered as u64,
            lag,
        })
    }
}

/// The value of the sample without labels whose line begins so.
fn sample(text: &str, begin: &str) -> Option<f64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(begin))?;
    value.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_lag_are_read_and_other_texts_are_none() {
        let text = "# TYPE sse_relay_streams gauge\nsse_relay_streams_opened_total{resume=\"fresh\"} 9\nsse_relay_streams 7\nsse_relay_delivered_bytes_total 4096\nsse_relay_log_lag_seconds 0.25\n";
        let reading = Reading {
            streams: 7,
            delivered: 4_096,
            lag: 0.25,
        };
        assert_eq!(Reading::of(text), Ok(reading));
        for foreign in [
            "",
            "hello",
            "sse_relay_streams 7\n",
            "sse_relay_streams 7\nsse_relay_log_lag_seconds 0\n",
            "sse_relay_streams -1\nsse_relay_delivered_bytes_total 0\nsse_relay_log_lag_seconds 0\n",
            "sse_relay_streams 1\nsse_relay_delivered_bytes_total 0\nsse_relay_log_lag_seconds NaN\n",
        ] {
            assert_eq!(Reading::of(foreign), Err(Unclear::Foreign), "{foreign}");
        }
    }
}
