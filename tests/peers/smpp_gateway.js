// A gateway by node-smpp, with a bind each way: node smpp_gateway.js PORT
//
// It is turned away once, sends what its list says and tells of every answer and receipt.
'use strict';

const smpp = require('smpp');
const { say } = require('./smpp_view');

const LONG = 'Grüße € [und] {mehr} ~ zum Anhören. '.repeat(9);
const WIDE = 'Ваш код 4839 🙂 '.repeat(9);
const QUIET = new Set(['99900000003', '99900000015']); // numbers that no receipt comes from

// [name, destination, what is sent]
const one = (destination) => [destination, destination, { short_message: 'hello' }];
const messages = [
  ...['01', '02', '03', '04', '07', '15', '16'].map((fate) => one(`999000000${fate}`)),
  ...cut(LONG, 150).map((part, at, parts) => [
    `long ${at + 1}`,
    '447700900001',
    {
      data_coding: 0,
      esm_class: 0x40,
      short_message: { udh: Buffer.from([5, 0, 3, 0x42, parts.length, at + 1]), message: part },
    },
  ]),
  ...cut(WIDE, 66).map((part, at, parts) => [
    `wide ${at + 1}`,
    '+447700900002',
    {
      data_coding: 8,
      short_message: part,
      sar_msg_ref_num: 300,
      sar_total_segments: parts.length,
      sar_segment_seqnum: at + 1,
    },
  ]),
  ['payload', '447700900003', { data_coding: 8, message_payload: { message: WIDE } }],
];
const receiptsOf = (destination) => (destination === '99900000007' ? 3 : 1);
let receiptsLeft = messages
  .filter(([, destination]) => !QUIET.has(destination))
  .reduce((sum, [, destination]) => sum + receiptsOf(destination), 0);

// Cut a text into parts that fit, between characters: each is decoded by itself.
function cut(text, units) {
  const parts = [''];
  for (const character of text) {
    const weight = (part) => part.length + (part.match(/[€[\]{}~]/g) || []).length;
    if (weight(parts[parts.length - 1] + character) > units) parts.push('');
    parts[parts.length - 1] += character;
  }
  return parts;
}

const ask = (session, command, options) =>
  new Promise((resolve) => session[command](options || {}, resolve));

const open = () =>
  new Promise((resolve, reject) => {
    const session = smpp.connect({ url: `smpp://127.0.0.1:${process.argv[2]}` }, () =>
      resolve(session));
    session.on('error', reject);
  });

async function bind(command, password) {
  const session = await open();
  const answer = await ask(session, command, { system_id: 'gateway', password });
  say({ what: command, status: answer.command_status, by: answer.system_id });
  return session;
}

async function main() {
  (await bind('bind_transceiver', 'wrong')).close();
  const receiver = await bind('bind_receiver', 'world');
  const transmitter = await bind('bind_transmitter', 'world');
  const told = new Promise((resolve) => {
    receiver.on('deliver_sm', (pdu) => {
      say({
        what: 'receipt',
        about: pdu.source_addr,
        kind: pdu.esm_class,
        text: pdu.short_message.message,
        id: pdu.receipted_message_id,
        state: pdu.message_state,
      });
      receiver.send(pdu.response());
      receiptsLeft -= 1;
      if (receiptsLeft === 0) resolve();
    });
  });
  for (const [name, destination, options] of messages) {
    const answer = await ask(transmitter, 'submit_sm', {
      source_addr_ton: 5,
      source_addr: 'GATEWAY',
      dest_addr_ton: 1,
      dest_addr_npi: 1,
      destination_addr: destination,
      registered_delivery: 1,
      ...options,
    });
    say({ what: 'answer', name, status: answer.command_status, id: answer.message_id });
  }
  for (let time = 1; time <= 4; time += 1) {
    const answer = await ask(transmitter, 'submit_sm', {
      destination_addr: '99900000006',
      short_message: 'try again',
    });
    say({ what: 'answer', name: `throttled ${time}`, status: answer.command_status });
  }
  await told;
  say({ what: 'texts', long: LONG, wide: WIDE });
  for (const session of [transmitter, receiver]) {
    await ask(session, 'enquire_link');
    await ask(session, 'unbind');
    session.close();
  }
}

main();
