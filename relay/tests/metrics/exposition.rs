//! A strict reader of both text formats: what it takes, every scraper takes. It knows only what our
//! scrapes use (no timestamps, no exemplars), and all else is an error.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub unit: Option<String>,
    pub samples: Vec<Sample>,
}

#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

type Result<T> = std::result::Result<T, String>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Prometheus,
    OpenMetrics,
}

pub struct Scrape {
    dialect: Dialect,
    families: Vec<Family>,
}

impl Scrape {
    pub fn prometheus(text: &str) -> Result<Vec<Family>> {
        Scrape::read(Dialect::Prometheus, text)
    }

    pub fn openmetrics(text: &str) -> Result<Vec<Family>> {
        let text = text
            .strip_suffix("# EOF\n")
            .ok_or("does not end with # EOF")?;
        Scrape::read(Dialect::OpenMetrics, text)
    }

    fn read(dialect: Dialect, text: &str) -> Result<Vec<Family>> {
        let text = text.strip_suffix('\n').ok_or("no line end at the end")?;
        let mut scrape = Scrape {
            dialect,
            families: Vec::new(),
        };
        for line in text.split('\n') {
            scrape
                .line(line)
                .map_err(|error| format!("{error}: {line}"))?;
        }
        let mut names = BTreeSet::new();
        for family in &scrape.families {
            if !names.insert(&family.name) {
                return Err(format!("{} is declared twice", family.name));
            }
            check(family).map_err(|error| format!("{}: {error}", family.name))?;
        }
        Ok(scrape.families)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let Some(comment) = line.strip_prefix("# ") else {
            return self.sample(line);
        };
        let [word, name, rest] = comment.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            return Err("neither HELP nor TYPE nor UNIT".into());
        };
        match word {
            "HELP" => self.help(name, rest),
            "TYPE" => self.of_last(name)?.set_kind(rest),
            "UNIT" if self.dialect == Dialect::OpenMetrics => self.of_last(name)?.set_unit(rest),
            _ => Err("neither HELP nor TYPE nor UNIT".into()),
        }
    }

    /// A family begins with its help.
    fn help(&mut self, name: &str, help: &str) -> Result<()> {
        if !is_name(name, ":") {
            return Err("not a name".into());
        }
        if help.is_empty() {
            return Err("no help".into());
        }
        let text = format!("{help}\"");
        if !unescape(&text, self.dialect == Dialect::OpenMetrics)?
            .1
            .is_empty()
        {
            return Err("a quote that is not escaped".into());
        }
        self.families.push(Family {
            name: name.to_owned(),
            kind: String::new(),
            unit: None,
            samples: Vec::new(),
        });
        Ok(())
    }

    fn of_last(&mut self, name: &str) -> Result<&mut Family> {
        let last = self.families.last_mut();
        last.filter(|family| family.name == name && family.samples.is_empty())
            .ok_or_else(|| "not of the family before it".into())
    }

    fn sample(&mut self, line: &str) -> Result<()> {
        let sample = sample(line)?;
        let dialect = self.dialect;
        let family = self.families.last_mut().ok_or("a sample of nothing")?;
        let suffix = sample.name.strip_prefix(&family.name).unwrap_or("?");
        let legal = match (dialect, family.kind.as_str()) {
            (_, "gauge") | (Dialect::Prometheus, "counter") => suffix.is_empty(),
            (Dialect::OpenMetrics, "counter") => suffix == "_total",
            (Dialect::OpenMetrics, "info") => suffix == "_info",
            (_, "histogram") => ["_bucket", "_sum", "_count"].contains(&suffix),
            _ => false,
        };
        if !legal {
            return Err(format!("no sample of {} {}", family.kind, family.name));
        }
        family.samples.push(sample);
        Ok(())
    }
}

impl Family {
    fn set_kind(&mut self, kind: &str) -> Result<()> {
        let known = ["counter", "gauge", "histogram", "info"].contains(&kind);
        if !known || !self.kind.is_empty() || self.unit.is_some() {
            return Err("unknown type, or out of place".into());
        }
        self.kind = kind.to_owned();
        Ok(())
    }

    fn set_unit(&mut self, unit: &str) -> Result<()> {
        if !self.name.ends_with(&format!("_{unit}")) || self.unit.is_some() {
            return Err("the name does not end with the unit".into());
        }
        self.unit = Some(unit.to_owned());
        Ok(())
    }
}

/// What holds for all samples of a family together.
fn check(family: &Family) -> Result<()> {
    let mut series = BTreeSet::new();
    for sample in &family.samples {
        if !series.insert((&sample.name, &sample.labels)) {
            return Err("a series stands there twice".into());
        }
        if family.kind != "gauge" && (sample.value < 0.0 || sample.value.is_nan()) {
            return Err("a count below zero".into());
        }
    }
    match family.kind.as_str() {
        _ if family.samples.is_empty() => Err("no samples".into()),
        "histogram" => check_histogram(family),
        _ => Ok(()),
    }
}

fn check_histogram(family: &Family) -> Result<()> {
    let [buckets @ .., sum, count] = &family.samples[..] else {
        return Err("not a histogram".into());
    };
    if !sum.name.ends_with("_sum") || !count.name.ends_with("_count") {
        return Err("buckets, sum and count are not in this order".into());
    }
    let mut before = (f64::NEG_INFINITY, 0.0);
    for bucket in buckets {
        let bound = number(bucket.labels.get("le").ok_or("a bucket without le")?)?;
        if bound <= before.0 || bucket.value < before.1 {
            return Err("buckets do not ascend".into());
        }
        before = (bound, bucket.value);
    }
    if before != (f64::INFINITY, count.value) {
        return Err("the last bucket is not the count".into());
    }
    Ok(())
}

fn sample(line: &str) -> Result<Sample> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, ":") {
        return Err("not a name".into());
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").ok_or("no label")?;
            let (value, after) = unescape(value, true)?;
            if !is_name(label, "") || labels.insert(label.to_owned(), value).is_some() {
                return Err("not a label, or one twice".into());
            }
            rest = after;
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.strip_prefix(',').ok_or("no comma between labels")?;
        }
    }
    let value = number(rest.strip_prefix(' ').ok_or("no space before the value")?)?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

fn is_name(text: &str, also: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    text.chars().all(legal) && text.starts_with(|c: char| !c.is_ascii_digit())
}

fn number(text: &str) -> Result<f64> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            text.parse().map_err(|_| "not a number".into())
        }
        _ => Err("not a number".into()),
    }
}

/// Up to the quote that ends it (the last one, where quotes are not escaped), and what follows.
fn unescape(text: &str, quotes: bool) -> Result<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if quotes || at + 1 == text.len() => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, '\\')) => value.push('\\'),
                Some((_, '"')) if quotes => value.push('"'),
                _ => return Err("an unknown escape".into()),
            },
            c => value.push(c),
        }
    }
    Err("no closing quote".into())
}

#[test]
fn what_is_not_legal_is_refused() {
    for wrong in [
        "",
        "a 1\n",
        "# HELP a A.\na 1\n",
        "# HELP a A.\n# TYPE a gauge\n",
        "# HELP a A.\n# TYPE a gauge\na 1",
        "# HELP a A.\n# TYPE a gauge\n\na 1\n",
        "# HELP a A.\n# TYPE a gauge\na one\n",
        "# HELP a A.\n# TYPE a gauge\na inf\n",
        "# HELP a A.\n# TYPE a gauge\nb 1\n",
        "# HELP a A.\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a A.\n# TYPE a gauge\na{b=\"c} 1\n",
        "# HELP a A.\n# TYPE a gauge\na{b=\"c\",b=\"d\"} 1\n",
        "# HELP a A.\n# TYPE a gauge\na{b=\"\\x\"} 1\n",
        "# HELP a A.\n# TYPE a counter\na -1\n",
        "# HELP a A.\n# TYPE a info\na_info 1\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
        "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
    ] {
        assert!(Scrape::prometheus(wrong).is_err(), "{wrong}");
    }
    for wrong in [
        "# HELP a A.\n# TYPE a gauge\na 1\n",
        "# HELP a A.\n# TYPE a counter\na 1\n# EOF\n",
        "# HELP a A.\n# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n",
        "# HELP a An \"a\".\n# TYPE a gauge\na 1\n# EOF\n",
    ] {
        assert!(Scrape::openmetrics(wrong).is_err(), "{wrong}");
    }
    assert!(Scrape::prometheus("# HELP a An \"a\".\n# TYPE a gauge\na 1\n").is_ok());
}
