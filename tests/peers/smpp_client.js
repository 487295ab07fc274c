// An ESME by node-smpp: node smpp_client.js PORT
'use strict';

const smpp = require('smpp');
const { watch } = require('./smpp_view');

smpp.addCommand('strange', { id: 0x00010203, params: {} });

const session = smpp.connect({ url: `smpp://127.0.0.1:${process.argv[2]}` });
watch(session);
session.on('close', () => process.exit(0));

// Resolve with the answer to a request.
const ask = (command, options) =>
  new Promise((resolve) => session[command](options || {}, resolve));

const receipts = new Promise((resolve) => {
  let left = 2;
  session.on('deliver_sm', (pdu) => {
    session.send(pdu.response());
    left -= 1;
    if (left === 0) resolve();
  });
});

const addresses = {
  service_type: 'CMT',
  source_addr_ton: 5,
  source_addr: 'ARRIVALS',
  dest_addr_ton: 1,
  dest_addr_npi: 1,
  destination_addr: '4917012345678',
  registered_delivery: 1,
};

session.on('connect', async () => {
  await ask('bind_transceiver', {
    system_id: 'node',
    password: 'wrong',
    interface_version: 0x34,
  });
  await ask('bind_transceiver', {
    system_id: 'node',
    password: 'secret',
    system_type: 'SMS',
    addr_ton: 1,
    addr_npi: 1,
    address_range: '^49',
  });
  await Promise.all([
    ask('submit_sm', {
      ...addresses,
      short_message: 'Hello €{}',
      user_message_reference: 4711,
      source_port: 9200,
      dest_port: 9201,
      payload_type: 0,
      network_error_code: Buffer.from('030001', 'hex'),
      receipted_message_id: 'abc',
    }),
    ask('submit_sm', {
      ...addresses,
      priority_flag: 2,
      schedule_delivery_time: '261122120000000+',
      validity_period: new Date(Date.UTC(2026, 10, 23)),
      short_message: { udh: Buffer.from('050003420201', 'hex'), message: 'Привет' },
    }),
    ask('data_sm', {
      ...addresses,
      data_coding: 4,
      message_payload: Buffer.alloc(1000, 0xa5),
      sar_msg_ref_num: 7,
      sar_total_segments: 2,
      sar_segment_seqnum: 1,
    }),
    ask('submit_multi', {
      ...addresses,
      dest_address: [
        { dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: '491701' },
        { dl_name: 'friends' },
      ],
      short_message: 'to all',
    }),
    ask('query_sm', { message_id: '7F', source_addr: 'ARRIVALS' }),
    ask('cancel_sm', { ...addresses, message_id: '7F' }),
    ask('replace_sm', { message_id: '7F', source_addr: 'ARRIVALS', short_message: 'new' }),
  ]);
  await receipts;
  await ask('enquire_link');
  await ask('strange');
  await ask('unbind');
  session.close();
});
