// An SMSC by node-smpp: it prints its port, serves one session and ends with it.
'use strict';

const smpp = require('smpp');
const { say, watch } = require('./smpp_view');

const server = smpp.createServer({}, (session) => {
  watch(session);
  session.on('bind_transceiver', (pdu) => {
    if (pdu.password === 'secret') {
      session.send(pdu.response({ system_id: 'NODE', sc_interface_version: 0x34 }));
    } else {
      session.send(pdu.response({ command_status: smpp.ESME_RINVPASWD }));
    }
  });
  session.on('submit_sm', (pdu) => {
    if (pdu.destination_addr === 'throttled') {
      session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
      return;
    }
    session.send(pdu.response({ message_id: `id-${pdu.sequence_number}` }));
    session.deliver_sm({
      source_addr_ton: pdu.dest_addr_ton,
      source_addr_npi: pdu.dest_addr_npi,
      source_addr: pdu.destination_addr,
      destination_addr: pdu.source_addr,
      esm_class: 4,
      short_message:
        `id:id-${pdu.sequence_number} sub:001 dlvrd:001 submit date:2611221200 ` +
        'done date:2611221201 stat:DELIVRD err:000 text:',
      receipted_message_id: `id-${pdu.sequence_number}`,
      message_state: 2,
    });
  });
  session.on('data_sm', (pdu) => session.send(pdu.response({ message_id: 'by-data' })));
  session.on('query_sm', (pdu) =>
    session.send(pdu.response({ message_id: pdu.message_id, message_state: 2 })));
  session.on('submit_multi', (pdu) =>
    session.send(
      pdu.response({
        message_id: 'many',
        unsuccess_sme: [
          { dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: '491701', error_status_code: 11 },
        ],
      }),
    ));
  // node-smpp says "unknown" of a command that it has no name for.
  session.on('unknown', (pdu) => session.send(pdu.response()));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on('close', () => server.close());
});

server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
