//! Quantities as the API server stores them. It writes each in one way (`1000m` becomes `1`, `1024Mi`
//! becomes `1Gi`), so that what is asked for in another way would differ from what is there for ever.
//!
//! The way is that of `CanonicalizeBytes` in `k8s.io/apimachinery/pkg/api/resource`.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Digits behind the point that count: billionths are the least that there is.
const DECIMALS: u32 = 9;
const BILLION: i128 = 1_000_000_000;
/// Digits that are read; longer numbers are left as they are.
const DIGITS: usize = 18;

const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// How a quantity is written.
#[derive(Clone, Copy)]
enum Form {
    Decimal,
    Exponent,
    Binary,
}

/// `text` as the API server stores it. What is no quantity, or one of absurd length, is left as it is:
/// the API server says what it thinks of it.
#[must_use]
pub fn quantity(text: &str) -> Quantity {
    Quantity(canonical(text).unwrap_or_else(|| text.to_owned()))
}

/// `resources` with its quantities as the API server stores them.
#[must_use]
pub fn resources(mut resources: ResourceRequirements) -> ResourceRequirements {
    let all = [&mut resources.requests, &mut resources.limits];
    for amount in all.into_iter().flatten().flat_map(|of| of.values_mut()) {
        *amount = quantity(&amount.0);
    }
    resources
}

fn canonical(text: &str) -> Option<String> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let (form, billionths) = read(number, suffix)?;
    let sign = if negative && billionths != 0 { "-" } else { "" };
    Some(format!("{sign}{}", write(form, billionths)?))
}

/// What it is in billionths, rounded up as the API server does.
fn read(number: &str, suffix: &str) -> Option<(Form, i128)> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{decimals}");
    if digits.is_empty() || digits.len() > DIGITS || decimals.contains('.') {
        return None;
    }
    let number: i128 = digits.parse().ok()?;
    let shift = i32::try_from(decimals.len()).ok()?;
    if let Some(power) = BINARY.iter().skip(1).position(|known| *known == suffix) {
        let unit = 1024_i128.checked_pow(u32::try_from(power + 1).ok()?)?;
        let scaled = number.checked_mul(unit)?.checked_mul(BILLION)?;
        let by = 10_i128.checked_pow(shift.unsigned_abs())?;
        return Some((Form::Binary, up(scaled, by)));
    }
    let (form, exponent) = match DECIMAL.iter().find(|(known, _)| *known == suffix) {
        Some((_, exponent)) => (Form::Decimal, *exponent),
        None => (
            Form::Exponent,
            suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?,
        ),
    };
    let exponent = exponent
        .checked_sub(shift)?
        .checked_add(DECIMALS.cast_signed())?;
    let by = 10_i128.checked_pow(exponent.unsigned_abs());
    let billionths = match exponent >= 0 {
        true => number.checked_mul(by?)?,
        false => by.map_or(i128::from(number > 0), |by| up(number, by)),
    };
    Some((form, billionths))
}

fn up(number: i128, by: i128) -> i128 {
    number / by + i128::from(number % by > 0)
}

fn write(form: Form, billionths: i128) -> Option<String> {
    if billionths == 0 {
        return Some("0".to_owned());
    }
    if matches!(form, Form::Binary) && billionths >= 1024 * BILLION && billionths % BILLION == 0 {
        let (mut number, mut unit) = (billionths / BILLION, 0);
        while number % 1024 == 0 && unit + 1 < BINARY.len() {
            number /= 1024;
            unit += 1;
        }
        return Some(format!("{number}{}", BINARY[unit]));
    }
    let (mut number, mut exponent) = (billionths, -9);
    while number % 1000 == 0 && exponent < 18 {
        number /= 1000;
        exponent += 3;
    }
    if matches!(form, Form::Exponent) {
        return Some(match exponent {
            0 => number.to_string(),
            _ => format!("{number}e{exponent}"),
        });
    }
    let (suffix, _) = DECIMAL.iter().find(|(_, known)| *known == exponent)?;
    Some(format!("{number}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_the_api_server_stores_them() {
        // as `resource.MustParse(…).String()` has them
        for (text, stored) in [
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            ("100m", "100m"),
            (".5", "500m"),
            ("2.", "2"),
            ("+1", "1"),
            ("0", "0"),
            ("0.0m", "0"),
            ("10000", "10k"),
            ("12345", "12345"),
            ("500000000", "500M"),
            ("0.001k", "1"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1.5Gi", "1536Mi"),
            ("1024", "1024"),
            ("1000Ki", "1000Ki"),
            ("0.5Ki", "512"),
            ("0.1Ki", "102400m"),
            ("1e3", "1e3"),
            ("1000e0", "1e3"),
            ("10E2", "1e3"),
            ("1e0", "1"),
            ("1E", "1E"),
            ("0.1n", "1n"),
            ("100u", "100u"),
            ("-1000m", "-1"),
        ] {
            assert_eq!(quantity(text).0, stored, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_left_as_it_is() {
        for text in [
            "",
            "m",
            "1x",
            "1.2.3",
            "1e",
            "9999999999999999999",
            "1 Gi",
            "-",
        ] {
            assert_eq!(quantity(text).0, text);
        }
    }
}
