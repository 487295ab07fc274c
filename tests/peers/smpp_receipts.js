// An SMSC by node-smpp whose receipts are odd: node smpp_receipts.js
//
// Each message is reported on in its own way, by its order; the octets are node-smpp's own, but for
// a tail that is put behind them. It prints its port and the status of each response.
'use strict';

const smpp = require('smpp');
const { say } = require('./smpp_view');

const word = (id, stat) =>
  `id:${id} sub:001 dlvrd:001 submit date:2611221200 done date:2611221201 stat:${stat} err:000 text:`;
const littleEndian = (text) => Buffer.from(text, 'utf16le');

// (number of the message, its id) => what differs from an ordinary receipt
const KINDS = [
  (id) => ({ data_coding: 8, short_message: word(id, 'DELIVRD') }), // UTF-16 by node-smpp
  (id) => ({ data_coding: 8, short_message: littleEndian(word(id, 'DELIVRD')) }),
  (id) => ({ short_message: '', message_payload: word(id, 'DELIVRD') }),
  (id) => ({ esm_class: 0x24, short_message: word(id, 'DELIVRD') }),
  (id) => ({ short_message: word(id, 'DELIVRD'), message_state: 0, receipted_message_id: id }),
  (id) => ({ esm_class: 0, short_message: '', message_state: 2, receipted_message_id: id }),
  (id) => ({ esm_class: 0x44, short_message: word(id, 'DELIVRD') }), // a header's flag, and none
  (id) => ({ short_message: word(id, 'DELIVRD').replace('stat:', '') }),
  (id) => ({ short_message: `{"id":"${id}","status":"Delivered to handset"}` }),
  (id) => ({ unswapped: true, short_message: word(id, 'DELIVRD') }),
  (id) => ({ tail: 1, short_message: word(id, 'DELIVRD') }),
  (id) => ({ tail: 3, message_state: 2, receipted_message_id: id, short_message: word(id, 'DELIVRD') }),
];

const server = smpp.createServer({}, (session) => {
  let count = 0;
  session.on('bind_transceiver', (pdu) => session.send(pdu.response({ system_id: 'NODE' })));
  session.on('submit_sm', (pdu) => {
    const nth = count++;
    const id = `node-${nth}`;
    session.send(pdu.response({ message_id: id }));
    const { unswapped, tail = 0, ...odd } = KINDS[nth](id);
    const [source, destination] = unswapped
      ? [pdu.source_addr, pdu.destination_addr]
      : [pdu.destination_addr, pdu.source_addr];
    const receipt = new smpp.PDU('deliver_sm', {
      sequence_number: 1000 + nth,
      source_addr: source,
      destination_addr: destination,
      esm_class: 4,
      ...odd,
    });
    const octets = Buffer.concat([receipt.toBuffer(), Buffer.alloc(tail)]);
    octets.writeUInt32BE(octets.length, 0);
    session.socket.write(octets);
  });
  session.on('deliver_sm_resp', (pdu) =>
    say({ nth: pdu.sequence_number - 1000, status: pdu.command_status }));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on('close', () => server.close());
  session.on('error', () => session.close());
});

server.listen(0, '127.0.0.1', () => say({ port: server.address().port, kinds: KINDS.length }));
