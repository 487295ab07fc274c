// Print each PDU as a line of JSON: what node-smpp sent, and what it understood.
'use strict';

const HEADER = ['command', 'command_length', 'command_id', 'command_status', 'sequence_number'];

function plain(value) {
  if (Buffer.isBuffer(value)) {
    return { hex: value.toString('hex') };
  }
  if (Array.isArray(value)) {
    return value.map(plain);
  }
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  }
  return value;
}

function say(value) {
  process.stdout.write(JSON.stringify(value) + '\n');
}

function show(way, pdu) {
  const fields = {};
  for (const key of Object.keys(pdu)) {
    if (!HEADER.includes(key)) {
      fields[key] = plain(pdu[key]);
    }
  }
  say({
    way,
    command_id: pdu.command_id,
    command_status: pdu.command_status,
    sequence_number: pdu.sequence_number,
    fields,
  });
}

// Tell of everything that passes a session.
function watch(session) {
  session.on('pdu', (pdu) => show('heard', pdu));
  session.on('send', (pdu) => show('said', pdu));
  session.on('error', (error) => say({ way: 'error', reason: String(error) }));
}

module.exports = { say, watch };
