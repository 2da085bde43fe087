//! `explain`: what an ingress controller or an implementation of the Gateway API gets, and why.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::controller_profile::{Companion, Controller, Https, Idle, Profile, Setting, Wishes};
use crate::gateway_profile::Implementation;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// The ingress controller
    pub controller: Option<Controller>,
    /// An implementation of the Gateway API instead
    #[arg(long, value_name = "IMPLEMENTATION")]
    pub gateway: Option<Implementation>,
}

/// The text for what `args` name.
pub fn explain(args: &Args) -> String {
    let controllers = args.controller.into_iter().map(by_ingress);
    controllers.chain(args.gateway.map(by_gateway)).collect()
}

fn wishes(https: Https, annotations: &BTreeMap<String, String>) -> Wishes<'_> {
    Wishes {
        name: "RELAY",
        namespace: "NAMESPACE",
        drain_seconds: 70,
        https,
        annotations,
    }
}

fn by_ingress(controller: Controller) -> String {
    let mut text = format!("{}\n", controller.as_str());
    let profile = controller.profile(&wishes(Https::Redirect, &BTreeMap::new()));
    say(&mut text, "Ingress", &profile);
    text
}

fn by_gateway(implementation: Implementation) -> String {
    let mut text = format!("{}\n", implementation.as_str());
    if implementation.takes_timeouts() {
        let why = "some end every response after 15s without it";
        let _ = write!(
            text,
            "\nin the HTTPRoute\n  timeouts.request: 0s\n      {why}\n"
        );
    }
    // https is the Gateway's own
    let profile = implementation.profile(&wishes(Https::Off, &BTreeMap::new()));
    say(&mut text, "HTTPRoute", &profile);
    text
}

/// `way_in` is the kind of the object that leads in.
fn say(text: &mut String, way_in: &str, profile: &Profile) {
    settings(
        text,
        &format!("annotations of the {way_in}"),
        &profile.ingress,
    );
    settings(text, "annotations of the Service", &profile.service);
    settings(text, "annotations of the pods", &profile.pod);
    for Companion { object, why } in &profile.objects {
        let kind = object.types.as_ref().map_or("", |types| &types.kind);
        let _ = write!(
            text,
            "\n{kind} with\n  {}\n      {why}\n",
            object.data["spec"]
        );
    }
    let idle = match profile.idle {
        Idle::Unlimited => "as long as it likes".to_owned(),
        Idle::Of(limit) => format!("{limit}; heartbeats come at least twice in that time"),
    };
    let _ = write!(text, "\na stream may be silent for {idle}\n");
    for note in &profile.notes {
        let _ = write!(text, "\nonly an administrator can change: {}\n", note.text);
    }
}

fn settings(text: &mut String, title: &str, settings: &[Setting]) {
    if settings.is_empty() {
        return;
    }
    let _ = write!(text, "\n{title}\n");
    for Setting { key, value, why } in settings {
        let _ = write!(text, "  {key}: {value}\n      {why}\n");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, output};

    fn said(arguments: &[&str]) -> String {
        let program = ["sse-relay-operator", "explain"];
        let command = Cli::try_parse_from(program.iter().chain(arguments));
        output(command.unwrap().command).unwrap()
    }

    #[test]
    fn every_controller_is_explained_with_its_reasons() {
        for controller in Controller::ALL {
            let text = said(&[controller.as_str()]);
            assert!(text.starts_with(controller.as_str()), "{text}");
            assert!(text.contains("a stream may be silent for"), "{text}");
        }
        let nginx = said(&["ingress-nginx"]);
        assert!(nginx.contains("proxy-read-timeout: 3600\n      a stream may be silent"));
    }

    #[test]
    fn every_implementation_of_the_gateway_api_is_explained_with_its_reasons() {
        for implementation in Implementation::ALL {
            let text = said(&["--gateway", implementation.as_str()]);
            assert!(text.starts_with(implementation.as_str()), "{text}");
            let timeout = text.contains("timeouts.request: 0s\n      some end");
            assert_eq!(timeout, implementation.takes_timeouts(), "{text}");
        }
        let google = said(&["--gateway=gke"]);
        assert!(google.contains("GCPBackendPolicy with\n  {"), "{google}");
        assert!(google.contains("      every response would end after 30s"));
    }

    #[test]
    fn one_thing_is_explained_at_a_time() {
        for wrong in [&["explain"][..], &["explain", "kong", "--gateway=kong"]] {
            let program = ["sse-relay-operator"];
            assert!(Cli::try_parse_from(program.iter().chain(wrong)).is_err());
        }
    }
}
