//! An incremental parser of event streams (WHATWG HTML, section 9.2.6).

/// A dispatched event; `data` is never empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Empty when the stream named no type, which means `message`.
    pub kind: &'a [u8],
    pub data: &'a [u8],
}

/// A line longer than this is cut there, so that a broken server cannot fill the memory.
const MAX_LINE: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub struct Parser {
    /// The start of a line whose end has not come yet.
    partial: Vec<u8>,
    after_cr: bool,
    data: Vec<u8>,
    has_data: bool,
    kind: Vec<u8>,
    /// The id of the block in progress, and the one that the last whole block left.
    pending_id: Vec<u8>,
    last_id: Vec<u8>,
}

impl Parser {
    /// What a client would send as `Last-Event-ID`; empty: none.
    #[must_use]
    pub fn last_id(&self) -> &[u8] {
        &self.last_id
    }

    /// Forgets what a cut connection left unfinished, not the last id.
    pub fn reconnect(&mut self) {
        let last_id = std::mem::take(&mut self.last_id);
        *self = Self {
            pending_id: last_id.clone(),
            last_id,
            ..Self::default()
        };
    }

    pub fn feed(&mut self, mut bytes: &[u8], on_event: &mut impl FnMut(Event<'_>)) {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) {
            if self.partial.is_empty() {
                self.line(&bytes[..end], on_event);
            } else {
                let mut line = std::mem::take(&mut self.partial);
                line.extend_from_slice(&bytes[..end]);
                self.line(&line, on_event);
                line.clear();
                self.partial = line;
            }
            let ended_by_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if ended_by_cr {
                self.after_cr = bytes.is_empty();
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
        }
        let room = MAX_LINE.saturating_sub(self.partial.len());
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line(&mut self, line: &[u8], on_event: &mut impl FnMut(Event<'_>)) {
        if line.is_empty() {
            return self.dispatch(on_event);
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => {
                self.pending_id.clear();
                self.pending_id.extend_from_slice(value);
            }
            b"event" => {
                self.kind.clear();
                self.kind.extend_from_slice(value);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(Event<'_>)) {
        self.last_id.clear();
        self.last_id.extend_from_slice(&self.pending_id);
        if !self.data.is_empty() {
            on_event(Event {
                kind: &self.kind,
                data: &self.data,
            });
        }
        self.data.clear();
        self.has_data = false;
        self.kind.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(parser: &mut Parser, pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut events = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for piece in pieces {
            parser.feed(piece, &mut |event| {
                events.push((text(event.kind), text(event.data)))
            });
        }
        events
    }

    #[test]
    fn events_are_the_same_in_whatever_pieces_and_line_ends_they_come() {
        let lf = "id: 1\n\n: comment\nevent: x\ndata: a\ndata:b\nid: 2\n\ndata: c\n\ndata\n\n";
        for end in ["\n", "\r\n", "\r"] {
            let text = lf.replace('\n', end);
            for piece in 1..text.len() {
                let mut parser = Parser::default();
                let pieces: Vec<_> = text.as_bytes().chunks(piece).collect();
                let expected = [("x".into(), "a\nb".into()), (String::new(), "c".into())];
                assert_eq!(events(&mut parser, &pieces), expected, "{end:?} {piece}");
                assert_eq!(parser.last_id(), b"2");
            }
        }
    }

    #[test]
    fn a_block_with_only_an_id_moves_the_last_id_and_dispatches_nothing() {
        let mut parser = Parser::default();
        assert!(events(&mut parser, &[b"id: 7\n\n"]).is_empty());
        assert_eq!(parser.last_id(), b"7");
    }

    #[test]
    fn a_cut_block_leaves_neither_its_id_nor_its_data() {
        let mut parser = Parser::default();
        events(&mut parser, &[b"id: 1\ndata: a\n\nid: 2\ndata: b\n"]);
        parser.reconnect();
        assert_eq!(parser.last_id(), b"1");
        assert!(events(&mut parser, &[b"\n"]).is_empty());
        assert_eq!(parser.last_id(), b"1");
    }
}
