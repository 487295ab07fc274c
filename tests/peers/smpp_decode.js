// Read PDUs as lines of hex, and print what node-smpp makes of each: its default alphabet is named.
'use strict';

const smpp = require('smpp');
const { say } = require('./smpp_view');

const lines = require('fs').readFileSync(0, 'utf8').trim().split('\n');
smpp.encodings.default = process.argv[2];
for (const line of lines) {
  const pdu = smpp.PDU.fromBuffer(Buffer.from(line, 'hex'));
  const body = pdu.message_payload === undefined ? pdu.short_message : pdu.message_payload;
  say({
    text: body.message,
    udh: (body.udh || []).map((each) => each.toString('hex')),
    esm_class: pdu.esm_class,
    service_type: pdu.service_type,
    source: [pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr],
    validity: pdu.validity_period ? new Date(pdu.validity_period).toISOString() : null,
    reference: pdu.user_message_reference,
    sar: [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum],
  });
}
