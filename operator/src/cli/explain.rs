//! `explain`: what a controller gets, and why.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::controller_profile::{Controller, Https, Idle, Setting, Wishes};

/// The text for `controller`.
pub fn explain(controller: Controller) -> String {
    let none = BTreeMap::new();
    let profile = controller.profile(&Wishes {
        name: "RELAY",
        namespace: "NAMESPACE",
        drain_seconds: 70,
        https: Https::Redirect,
        annotations: &none,
    });
    let mut text = format!("{}\n", controller.as_str());
    section(&mut text, "annotations of the Ingress", &profile.ingress);
    section(&mut text, "annotations of the Service", &profile.service);
    section(&mut text, "annotations of the pods", &profile.pod);
    for object in &profile.objects {
        let kind = object.types.as_ref().map_or("", |types| &types.kind);
        let _ = write!(text, "\n{kind} with\n  {}\n", object.data["spec"]);
    }
    let idle = match profile.idle {
        Idle::Unlimited => "as long as it likes".to_owned(),
        Idle::Of(limit) => format!("{limit}; heartbeats come at least twice in that time"),
    };
    let _ = write!(text, "\na stream may be silent for {idle}\n");
    for note in &profile.notes {
        let _ = write!(text, "\nonly an administrator can change: {}\n", note.text);
    }
    text
}

fn section(text: &mut String, title: &str, settings: &[Setting]) {
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
    use super::*;

    #[test]
    fn every_controller_is_explained_with_its_reasons() {
        for controller in Controller::ALL {
            let text = explain(controller);
            assert!(text.starts_with(controller.as_str()), "{text}");
            assert!(text.contains("a stream may be silent for"), "{text}");
        }
        let nginx = explain(Controller::IngressNginx);
        assert!(nginx.contains("proxy-read-timeout: 3600\n      a stream may be silent"));
    }
}
