//! `render`: the objects of a resource, without a cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::{RelayImage, read};
use crate::controller_profile::Controller;
use crate::crd::{Pinned, SseRelay};
use crate::desired::desired;
use crate::names::owner;
use crate::references::{Purpose, references};
use crate::resolve::{Class, Found, GatewayFound, Resolved};
use crate::rotation::{Passwords, Stage};
use crate::tokens::{Generated, RedisUsers, Token};
use crate::unknown::unknown_fields;
use crate::validate::validate;

/// Options of `render`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with an SseRelay; `-` is standard input
    pub file: PathBuf,
    /// What serves Ingresses, for resources that name no controller
    #[arg(long, value_name = "NAME")]
    pub ingress_controller: Option<Controller>,
    #[command(flatten)]
    pub image: RelayImage,
}

/// The objects as YAML, in the order in which they are applied.
///
/// Secrets that the resource names are taken as there; tokens are stand-ins.
pub fn render(args: &Args) -> anyhow::Result<String> {
    let name = args.file.display().to_string();
    let text = read(&args.file).with_context(|| format!("cannot read {name}"))?;
    let mut relay = parse(&text).with_context(|| name)?;
    if let Some(ingress) = &mut relay.spec.ingress {
        ingress.controller = ingress.controller.or(args.ingress_controller);
    }
    let resolved = assumed(&relay, args);
    let valid = validate(&relay, &resolved).map_err(|faults| {
        let lines: Vec<String> = faults.into_iter().map(|fault| fault.message).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })?;
    let objects = desired(&valid, &resolved.generated).objects(&valid, owner(&relay).as_ref());
    let documents: Result<Vec<String>, _> = objects.iter().map(serde_saphyr::to_string).collect();
    let mut yaml = documents?.join("---\n");
    if let Some(doubt) = valid.doubt() {
        yaml.push_str(&format!("# {}\n", doubt.message));
    }
    Ok(yaml)
}

fn parse(text: &str) -> anyhow::Result<SseRelay> {
    let json: serde_json::Value = serde_saphyr::from_str(text)?;
    if json["kind"] != "SseRelay" {
        bail!("is no SseRelay; begin it with `kind: SseRelay`");
    }
    let unknown = unknown_fields(&json);
    if !unknown.is_empty() {
        bail!("{}", unknown.join("\n"));
    }
    Ok(serde_json::from_value(json)?)
}

fn assumed(relay: &SseRelay, args: &Args) -> Resolved {
    let token = |n: u8| Token::from_random([n; 32]);
    let named = relay.spec.ingress.as_ref();
    let named = named.and_then(|ingress| ingress.class_name.clone());
    let stand_in = |purpose: &Purpose, n: u8| match purpose {
        Purpose::Text => Found::Value(b"stand-in".to_vec()),
        Purpose::Token | Purpose::File(_) => Found::Value(token(n).reveal().as_bytes().to_vec()),
    };
    Resolved {
        class: named.map_or(Class::NoDefault { before: None }, |name| Class::Missing {
            name,
            before: None,
        }),
        versions: BTreeMap::new(),
        deployed: None,
        gateway: GatewayFound::Forbidden { before: None },
        keys: references(&relay.spec)
            .into_iter()
            .zip((4..=u8::MAX).cycle())
            .map(|(named, n)| (named.key, stand_in(&named.purpose, n)))
            .collect(),
        generated: Generated {
            publish: token(1),
            subscribe: token(2),
            manage: token(3),
            probe: token(0),
            redis: RedisUsers {
                passwords: Passwords {
                    current: token(1),
                    stage: Stage::Settled,
                    asked: None,
                },
                agent: token(2),
            },
        },
        pinned: Pinned {
            version: args.image.relay_version.clone(),
            repository: args.image.relay_image.clone(),
            redis_image: Some(args.image.redis_image.clone()),
        },
    }
}
