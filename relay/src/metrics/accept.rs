//! Which format a scrape asks for (RFC 9110, 12.5.1).

/// A text format of metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Prometheus' own, 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// OpenMetrics is for who names it, and likes it no less than the older format; everybody else,
    /// those included who accept neither, gets the one that every tool reads.
    pub fn accepted(accept: &str) -> Format {
        let ranges: Vec<Range> = accept.split(',').filter_map(Range::parse).collect();
        let openmetrics = ranges
            .iter()
            .filter(|range| range.names("application/openmetrics-text", "1.0.0"))
            .map(|range| range.quality)
            .fold(0.0, f32::max);
        if openmetrics > 0.0 && openmetrics >= quality_of_text(&ranges) {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// By name; a wildcard says nothing against OpenMetrics.
fn quality_of_text(ranges: &[Range]) -> f32 {
    ranges
        .iter()
        .filter(|range| range.names("text/plain", "0.0.4"))
        .map(|range| range.quality)
        .fold(0.0, f32::max)
}

/// One media range of the header.
struct Range<'a> {
    media: &'a str,
    version: Option<&'a str>,
    /// From 0, not acceptable, to 1.
    quality: f32,
}

impl<'a> Range<'a> {
    /// `None` for what is no range; a quality that is no number counts as not acceptable.
    fn parse(text: &'a str) -> Option<Range<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| media.contains('/'))?;
        let (mut version, mut quality) = (None, 1.0);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("version") => version = Some(value),
                name if name.eq_ignore_ascii_case("q") => {
                    quality = value
                        .parse()
                        .ok()
                        .filter(|q| (0.0..=1.0).contains(q))
                        .unwrap_or(0.0);
                }
                _ => {} // charset, escaping: both formats are UTF-8 and have only plain names
            }
        }
        Some(Range {
            media,
            version,
            quality,
        })
    }

    fn names(&self, media: &str, version: &str) -> bool {
        self.media.eq_ignore_ascii_case(media) && self.version.is_none_or(|asked| asked == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_openmetrics_gets_it() {
        for accept in [
            // Prometheus 3
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
            "text/plain, application/openmetrics-text",
            "*/*, application/openmetrics-text;q=0.5",
        ] {
            assert_eq!(Format::accepted(accept), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn everybody_else_gets_the_format_that_every_tool_reads() {
        for accept in [
            "",
            "*/*",
            "application/*",
            "text/plain;version=0.0.4",
            "text/plain;q=0.9, application/openmetrics-text;q=0.5",
            "application/openmetrics-text;q=0, */*",
            "application/openmetrics-text;q=high",
            "application/openmetrics-text;q=NaN",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-textile",
            "text/html, x-application/openmetrics-text",
            "application/json",
            ";;,=,/",
        ] {
            assert_eq!(Format::accepted(accept), Format::Prometheus, "{accept}");
        }
    }
}
