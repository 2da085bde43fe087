//! The dashboard, and the browser's own EventSource, in a real Chromium against the real relay.

#[path = "browser/chrome.rs"]
mod chrome;
#[path = "browser/cookies.rs"]
mod cookies;
#[path = "browser/dashboard.rs"]
mod dashboard;
#[path = "browser/elsewhere.rs"]
mod elsewhere;
#[path = "browser/relay.rs"]
mod relay;
#[path = "browser/streams.rs"]
mod streams;
#[path = "browser/tickets.rs"]
mod tickets;

use chrome::Chrome;
use dashboard::{Dashboard, colour_scheme, phone};
use serde_json::{Value, json};

const CHARTS: [&str; 5] = ["cpu", "memory", "load", "network", "disk"];

/// Runs a test's future to its end.
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(test);
}

#[test]
fn a_relay_that_asks_for_a_token_gets_it_from_the_page() {
    run(async {
        let secret = "operator-secret";
        let page = Dashboard::open_guarded(json!({"tokens": [{
            "name": "operator",
            "sha256": sse_relay::auth::hash_of(secret),
            "publish": ["**"],
            "subscribe": ["**"],
            "manage": ["observe"],
        }]}))
        .await;
        page.until("!document.querySelector('#token-form').hidden")
            .await;
        page.until("document.querySelector('#status-problem').textContent.includes('credential')")
            .await;
        page.fill("#token", "wrong").await;
        page.click("#token-use").await;
        page.until("document.querySelector('#status-problem').textContent.includes('not known')")
            .await;
        page.fill("#token", secret).await;
        page.click("#token-use").await;
        page.until_state("#connection-state", "live").await;
        page.until("Number(document.querySelector('[data-chart=cpu]').dataset.points) >= 2")
            .await;
        page.until("document.querySelectorAll('#channels tbody tr').length >= 5")
            .await;
        page.fill("#publish-channel", "guarded").await;
        page.click("#publish-submit").await;
        page.until_state("#publish-result", "done").await;
        assert!(
            !page
                .eval("document.documentElement.outerHTML")
                .await
                .to_string()
                .contains(secret)
        );
        page.eval("window.scrollTo(0, 0)").await;
        page.click("#token-forget").await;
        page.until("document.querySelector('#status-problem').textContent.includes('credential')")
            .await;
    });
}

#[test]
fn charts_move_with_the_stream() {
    run(async {
        let page = Dashboard::open().await;
        page.until_state("#connection-state", "live").await;
        for name in CHARTS {
            let chart = format!("document.querySelector('[data-chart={name}]').dataset");
            page.until(&format!("Number({chart}.points) >= 2")).await;
            let points = page.eval(&format!("Number({chart}.points)")).await;
            let last = page.eval(&format!("{chart}.last")).await;
            page.until(&format!(
                "Number({chart}.points) > {points} && Date.parse({chart}.last) > Date.parse({last})"
            ))
            .await;
            let line = page
                .eval(&format!(
                    "document.querySelector('[data-chart={name}] .line').getAttribute('d')"
                ))
                .await;
            assert!(
                line.as_str().is_some_and(|line| line.contains('L')),
                "{name}: {line}"
            );
            let summary = page.text(&format!("[data-chart={name}] figcaption")).await;
            assert!(
                summary.contains("min") && summary.contains("max"),
                "{name}: {summary}"
            );
        }
        assert_eq!(page.text("#reconnects").await, "0");
        assert_eq!(page.text("#missed").await, "0");
        page.assert_quiet().await;
    });
}

#[test]
fn tables_and_status_tell_what_the_relay_does() {
    run(async {
        let page = Dashboard::open().await;
        page.until_text("#status-state", "serving").await;
        for name in CHARTS {
            page.until(&format!(
                "[...document.querySelectorAll('#channels tbody th')].some((cell) => cell.textContent === 'demo.{name}')"
            ))
            .await;
        }
        page.until("[...document.querySelectorAll('#streams tbody tr')].some((row) => row.textContent.includes('demo.cpu'))")
            .await;
        page.until("Number(document.querySelector('#status-streams').textContent) >= 1")
            .await;
        page.until("Number(document.querySelector('#status-published').textContent.replaceAll(',', '')) > 5")
            .await;
        let scopes = "[...document.querySelectorAll('table')].every((table) => [...table.querySelectorAll('th')].every((cell) => cell.scope))";
        assert_eq!(page.eval(scopes).await, true);
        page.assert_quiet().await;
    });
}

#[test]
fn a_channels_name_opens_it_in_the_inspector() {
    run(async {
        let page = Dashboard::open().await;
        page.until("document.querySelector('#channels tr[data-key=\"demo.cpu\"] button') !== null")
            .await;
        page.click("#channels tr[data-key='demo.cpu'] button").await;
        page.until_state("#inspector-state", "live").await;
        assert_eq!(
            page.eval("document.querySelector('#inspector-channels').value")
                .await,
            "demo.cpu"
        );
        page.until(
            "document.querySelectorAll('#inspector-events > li[data-type=sample]').length >= 2",
        )
        .await;
        page.click("#inspector-events > li[data-type=sample] summary")
            .await;
        page.until("document.querySelector('#inspector-events pre')?.textContent.includes('\\n  \"percent\": ')")
            .await;
        page.assert_quiet().await;
    });
}

#[test]
fn a_published_event_arrives_once_and_the_filter_hides_others() {
    run(async {
        let page = Dashboard::open().await;
        page.inspect("test.*", "kind=a,c", "latest").await;
        let first = page.publish("test.orders", "kind=a", "{\"n\":1}").await;
        let hidden = page.publish("test.orders", "kind=b", "{\"n\":2}").await;
        let last = page.publish("test.other", "kind=c", "{\"n\":3}").await;
        page.until_listed(&last).await;
        assert_eq!(page.listed().await, [last, first], "without {hidden}");
        page.until("[...document.querySelectorAll('#streams tbody tr')].some((row) => row.textContent.includes('kind=a,c'))")
            .await;
        page.assert_quiet().await;
    });
}

#[test]
fn what_the_relay_refuses_is_said_in_its_words() {
    run(async {
        let page = Dashboard::open().await;
        page.fill("#publish-channel", "test.refused").await;
        page.fill("#publish-type", "gap").await;
        page.click("#publish-submit").await;
        page.until_state("#publish-result", "failed").await;
        // "title: detail" of the problem, not a bare status.
        let said = page.text("#publish-result").await;
        assert!(said.contains(": ") && !said.starts_with("400"), "{said}");
        page.click("#inspector-connect").await;
        page.until("document.querySelector('#inspector-problem').textContent")
            .await;
    });
}

#[test]
fn pause_holds_events_and_resume_shows_them() {
    run(async {
        let page = Dashboard::open().await;
        page.inspect("test.pause", "", "latest").await;
        page.click("#inspector-pause").await;
        let mut ids = Vec::new();
        for number in 0..3 {
            ids.insert(
                0,
                page.relay
                    .publish("test.pause", "a", &number.to_string())
                    .await,
            );
        }
        page.until("document.querySelector('#inspector-count').dataset.held === '3'")
            .await;
        assert_eq!(page.listed().await, Vec::<String>::new());
        page.click("#inspector-pause").await;
        page.until_listed(&ids[0]).await;
        assert_eq!(page.listed().await, ids);
        page.assert_quiet().await;
    });
}

#[test]
fn resuming_from_an_id_shows_exactly_what_came_after_it() {
    run(async {
        let page = Dashboard::open().await;
        let mut ids = Vec::new();
        for number in 0..4 {
            ids.insert(
                0,
                page.relay
                    .publish("test.resume", "a", &number.to_string())
                    .await,
            );
        }
        page.inspect("test.resume", "", "earliest").await;
        page.until_listed(&ids[0]).await;
        assert_eq!(page.listed().await, ids);
        let second = format!("#inspector-events > li[data-id='{}']", ids[2]);
        page.click(&format!("{second} summary")).await;
        page.until(&format!(
            "document.querySelector({:?}) !== null",
            format!("{second} .resume")
        ))
        .await;
        page.click(&format!("{second} .resume")).await;
        page.until(&format!("document.querySelector({second:?}) === null"))
            .await;
        page.until_listed(&ids[0]).await;
        assert_eq!(page.listed().await, ids[..2]);
        page.assert_quiet().await;
    });
}

#[test]
fn the_list_stays_bounded_and_says_so() {
    run(async {
        let page = Dashboard::open().await;
        for number in 0..600 {
            page.relay
                .publish("test.many", "a", &number.to_string())
                .await;
        }
        page.connect("test.many", "", "earliest").await;
        page.until("Number(document.querySelector('#inspector-count').dataset.received) > 600")
            .await;
        page.until("document.querySelectorAll('#inspector-events > li').length === 500")
            .await;
        let said = page.text("#inspector-count").await;
        assert!(said.contains("newest 500 listed"), "{said}");
        page.assert_quiet().await;
    });
}

#[test]
fn hostile_text_stays_text() {
    run(async {
        let page = Dashboard::open().await;
        let hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>";
        page.inspect("test.hostile", "", "latest").await;
        let id = page.publish("test.hostile", "", hostile).await;
        page.until_listed(&id).await;
        page.click(&format!("#inspector-events > li[data-id='{id}'] summary"))
            .await;
        page.until(&format!(
            "document.querySelector('#inspector-events pre')?.textContent === {hostile:?}"
        ))
        .await;
        assert_eq!(
            page.eval("document.querySelectorAll('main img, main script').length")
                .await,
            0
        );
        page.assert_quiet().await;
    });
}

#[test]
fn a_killed_relay_is_told_and_nothing_is_lost_or_repeated() {
    run(async {
        let mut page = Dashboard::open().await;
        page.until_state("#connection-state", "live").await;
        page.until("Number(document.querySelector('[data-chart=cpu]').dataset.points) >= 1")
            .await;
        page.inspect("test.crash", "", "latest").await;
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.insert(
                0,
                page.relay
                    .publish("test.crash", "a", &number.to_string())
                    .await,
            );
        }
        page.until_listed(&ids[0]).await;
        page.assert_quiet().await;

        page.relay.kill();
        page.until_state("#connection-state", "reconnecting").await;
        page.until_state("#inspector-state", "reconnecting").await;
        page.until(
            "/^(in [0-9]+ s|now)$/.test(document.querySelector('#connection-detail').textContent)",
        )
        .await;

        page.relay.start_again().await;
        for number in 5..10 {
            ids.insert(
                0,
                page.relay
                    .publish("test.crash", "a", &number.to_string())
                    .await,
            );
        }
        page.until_state("#connection-state", "live").await;
        page.until_text("#reconnects", "1").await;
        page.until_state("#inspector-state", "live").await;
        page.until_listed(&ids[0]).await;
        assert_eq!(page.listed().await, ids);
        assert_eq!(page.text("#inspector-gaps").await, "0");
        assert_eq!(page.text("#missed").await, "0");
        page.until_text("#status-state", "serving").await;
        let refused = |line: &String| line.contains("Content Security Policy");
        assert!(!page.complaints().await.iter().any(refused));
    });
}

#[test]
fn the_browsers_own_event_source_resumes_over_a_crash() {
    run(async {
        let mut page = Dashboard::open().await;
        page.eval(
            "(() => {
                const source = new EventSource('/v1/events?channel=test.native&from=latest');
                window.native = {seen: [], opened: 0};
                source.onopen = () => { window.native.opened += 1; };
                source.addEventListener('order', (event) => window.native.seen.push(event.lastEventId));
            })()",
        )
        .await;
        page.until("window.native.opened === 1").await;
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.push(
                page.relay
                    .publish("test.native", "a", &number.to_string())
                    .await,
            );
        }
        page.until("window.native.seen.length >= 5").await;
        page.relay.kill();
        page.relay.start_again().await;
        for number in 5..10 {
            ids.push(
                page.relay
                    .publish("test.native", "a", &number.to_string())
                    .await,
            );
        }
        page.until("window.native.opened === 2 && window.native.seen.length >= 10")
            .await;
        assert_eq!(page.eval("window.native.seen").await, json!(ids));
    });
}

/// The page's own functions are called, since a healthy relay cannot be made to lose events.
#[test]
fn a_gap_is_counted_and_said() {
    run(async {
        let page = Dashboard::open().await;
        page.until("Number(document.querySelector('[data-chart=cpu]').dataset.points) >= 1")
            .await;
        page.eval(
            "(() => {
                const cpu = live.charts.find((chart) => chart.spec.name === 'cpu');
                takeGap('{\"certain\":true,\"reason\":\"trimmed\",\"after\":\"e1\",\"until\":\"e4\"}');
                takeSample(JSON.stringify({ time: new Date(cpu.last + 4000).toISOString(), percent: 1, cores: [1] }));
            })()",
        )
        .await;
        assert_eq!(page.text("#missed").await, "3 in 1 gap");
        page.eval("takeEvent({ type: 'gap', id: 'e4', data: '{\"certain\":false,\"reason\":\"epoch\",\"after\":null,\"until\":\"e4\"}' })")
            .await;
        page.until("document.querySelector('#inspector-events > li[data-kind=gap]') !== null")
            .await;
        assert_eq!(
            page.text("#inspector-events > li[data-kind=gap] .preview")
                .await,
            "Events may be missing until e4 (epoch)"
        );
        assert_eq!(page.text("#inspector-gaps").await, "1");
    });
}

#[test]
fn a_phone_scrolls_in_one_direction_only() {
    run(async {
        let page = Dashboard::open_with(&[phone()]).await;
        page.until("Number(document.querySelector('[data-chart=network]').dataset.points) >= 2")
            .await;
        page.until("document.querySelectorAll('#channels tbody tr').length >= 5")
            .await;
        page.inspect("demo.**", "", "latest").await;
        page.until("document.querySelectorAll('#inspector-events > li').length >= 3")
            .await;
        assert_eq!(page.eval("innerWidth").await, 360);
        let width = page.eval("document.scrollingElement.scrollWidth").await;
        assert!(width.as_u64().is_some_and(|width| width <= 360), "{width}");
        page.assert_quiet().await;
    });
}

#[test]
fn nothing_moves_while_the_page_fills() {
    run(async {
        for screen in [vec![], vec![phone()]] {
            let page = Dashboard::open_with(&screen).await;
            page.eval(
                "(() => {
                    window.moved = 0;
                    new PerformanceObserver((list) => {
                        for (const entry of list.getEntries()) window.moved += entry.value;
                    }).observe({ type: 'layout-shift', buffered: true });
                })()",
            )
            .await;
            for name in CHARTS {
                page.until(&format!(
                    "Number(document.querySelector('[data-chart={name}]').dataset.points) >= 3"
                ))
                .await;
            }
            page.until("document.querySelectorAll('#streams tbody tr').length >= 1")
                .await;
            // Cumulative layout shift; below 0.1 counts as good.
            let moved = page.eval("window.moved").await;
            assert!(moved.as_f64().is_some_and(|moved| moved < 0.05), "{moved}");
        }
    });
}

#[test]
fn both_colour_schemes_are_readable() {
    run(async {
        // WCAG 2.2, relative luminance and contrast ratio.
        let contrast = "(() => {
            const luminance = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map(Number)
                .map((part) => part / 255)
                .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
                .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
            const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
            const ground = luminance(getComputedStyle(document.body).backgroundColor);
            const colours = ['body', '#live-note', 'footer a', '.fact'].map((css) => getComputedStyle(document.querySelector(css)).color);
            return {ground, least: Math.min(...colours.map((colour) => ratio(luminance(colour), ground)))};
        })()";
        for scheme in ["light", "dark"] {
            let page = Dashboard::open_with(&[colour_scheme(scheme)]).await;
            let seen = page.eval(contrast).await;
            let ground = seen["ground"].as_f64().expect("a number");
            assert_eq!(scheme == "dark", ground < 0.2, "{scheme}: {seen}");
            assert!(
                seen["least"].as_f64().is_some_and(|least| least >= 4.5),
                "{scheme}: {seen}"
            );
            page.assert_quiet().await;
        }
    });
}

#[test]
fn every_control_has_a_name_and_the_keyboard_reaches_it() {
    run(async {
        let page = Dashboard::open().await;
        let nameless = "[...document.querySelectorAll('input, select, textarea, button')].filter((control) =>
            !control.labels?.length && !control.getAttribute('aria-label') && !control.textContent.trim()).map((control) => control.outerHTML)";
        assert_eq!(page.eval(nameless).await, json!([]));
        let active = page
            .client
            .active_element()
            .await
            .expect("something has the focus");
        active
            .send_keys("\u{E004}")
            .await
            .expect("Tab can be pressed");
        assert_eq!(page.eval("document.activeElement.className").await, "skip");
        page.until(
            "document.querySelector('#channels tr[data-key=\"demo.disk\"] button') !== null",
        )
        .await;
        page.eval("document.querySelector('#channels tr[data-key=\"demo.disk\"] button').focus()")
            .await;
        let active = page
            .client
            .active_element()
            .await
            .expect("the button has the focus");
        active
            .send_keys("\u{E007}")
            .await
            .expect("Enter can be pressed");
        page.until_state("#inspector-state", "live").await;
        assert_eq!(
            page.eval("document.activeElement.id").await,
            "inspector-title"
        );
        page.assert_quiet().await;
    });
}

/// The cases of the WHATWG standard and of the Web Platform Tests: bytes in, events out.
#[test]
fn the_inspectors_parser_follows_the_standard() {
    run(async {
        let cases: &[(&[u8], Value)] = &[
            (b"data:1\n\n", json!([["message", "1", ""]])),
            (
                b"data: 1\n\ndata:  1\n\ndata:\t1\n\n",
                json!([
                    ["message", "1", ""],
                    ["message", " 1", ""],
                    ["message", "\t1", ""]
                ]),
            ),
            (
                b"data:\n\ndata\ndata\n\ndata:test",
                json!([["message", "", ""], ["message", "\n", ""]]),
            ),
            (
                b"data:1\r:\0\n:\r\ndata:2\n:x\rdata:3\n:data:fail\r:y\ndata:4\n\n",
                json!([["message", "1\n2\n3\n4", ""]]),
            ),
            (
                b"data:a\r\n\r\ndata:b\r\rdata:c\n\n",
                json!([
                    ["message", "a", ""],
                    ["message", "b", ""],
                    ["message", "c", ""]
                ]),
            ),
            (
                b"\xEF\xBB\xBFdata:1\n\n\xEF\xBB\xBFdata:2\n\ndata:3\n\n",
                json!([["message", "1", ""], ["message", "3", ""]]),
            ),
            (
                b"\xEF\xBB\xBF\xEF\xBB\xBFdata:1\n\ndata:2\n\n",
                json!([["message", "2", ""]]),
            ),
            (
                b"event:test\ndata:x\n\ndata:x\n\n",
                json!([["test", "x", ""], ["message", "x", ""]]),
            ),
            (b"event: \ndata:data\n\n", json!([["message", "data", ""]])),
            (
                b"event:only\n\nid:7\n\ndata:x\n\n",
                json!([["message", "x", "7"]]),
            ),
            (
                b"id:1\ndata:a\n\ndata:b\n\nid\ndata:c\n\n",
                json!([
                    ["message", "a", "1"],
                    ["message", "b", "1"],
                    ["message", "c", ""]
                ]),
            ),
            (b"id:a\0b\ndata:x\n\n", json!([["message", "x", ""]])),
            (b"data:\0\n\n", json!([["message", "\0", ""]])),
            (b"data\0:x\n data:x\nData:x\njust\n:x\n\n", json!([])),
            (b"data:\xFF\n\n", json!([["message", "\u{FFFD}", ""]])),
            (
                "id:…\ndata:é\n\n".as_bytes(),
                json!([["message", "é", "…"]]),
            ),
            (
                b"retry:02000\nretry:1000x\nretry:\nretry:-1\nretry: 3000\ndata:x\n\n",
                json!([["retry", 2000], ["retry", 3000], ["message", "x", ""]]),
            ),
        ];
        let (_chrome, client) = Chrome::start().await;
        let script = concat!(
            include_str!("../src/http/dashboard/sse.js"),
            "const [bytes, step] = arguments;
            const seen = [];
            const parser = new EventStreamParser({
                onEvent: (event) => seen.push([event.type, event.data, event.id]),
                onRetry: (ms) => seen.push(['retry', ms]),
            });
            for (let at = 0; at < bytes.length; at += step) parser.push(Uint8Array.from(bytes.slice(at, at + step)));
            return seen;"
        );
        for (bytes, expected) in cases {
            // Whole, and torn apart at every place.
            for step in [bytes.len(), 1, 2, 3] {
                let seen = client
                    .execute(script, vec![json!(bytes), json!(step)])
                    .await;
                let seen = seen.expect("the parser runs");
                assert_eq!(
                    seen,
                    *expected,
                    "{:?} by {step}",
                    String::from_utf8_lossy(bytes)
                );
            }
        }
        client.close().await.expect("the session ends");
    });
}

#[test]
fn an_unfinished_block_moves_no_id() {
    run(async {
        let (_chrome, client) = Chrome::start().await;
        let script = concat!(
            include_str!("../src/http/dashboard/sse.js"),
            "const parser = new EventStreamParser({ onEvent: () => {}, lastEventId: 'before' });
            const at = [];
            for (const text of ['data:x\\n\\n', 'id:1\\ndata:y\\n\\n', 'id:2\\ndata:z']) {
                parser.push(new TextEncoder().encode(text));
                at.push(parser.lastEventId);
            }
            return at;"
        );
        let seen = client
            .execute(script, vec![])
            .await
            .expect("the parser runs");
        assert_eq!(seen, json!(["before", "1", "1"]));
        client.close().await.expect("the session ends");
    });
}
