// An SMSC by node-smpp whose subscriber answers: node smpp_replies.js
//
// It takes one message, then sends the answer in two parts of UCS-2 and the first of them again,
// as after a lost acknowledgement; it prints its port and the status of each response.
'use strict';

const smpp = require('smpp');
const { say } = require('./smpp_view');

const ANSWER = ['Спасибо, ', 'получил'];

const server = smpp.createServer({}, (session) => {
  session.on('bind_transceiver', (pdu) => session.send(pdu.response({ system_id: 'NODE' })));
  session.on('submit_sm', (pdu) => {
    session.send(pdu.response({ message_id: 'node-1' }));
    [0, 1, 0].forEach((at, nth) =>
      session.deliver_sm(
        {
          source_addr_ton: 1,
          source_addr_npi: 1,
          source_addr: `+${pdu.destination_addr}`,
          dest_addr_ton: pdu.source_addr_ton,
          dest_addr_npi: pdu.source_addr_npi,
          destination_addr: pdu.source_addr,
          esm_class: 0x40,
          data_coding: 8,
          short_message: {
            udh: Buffer.from([5, 0, 3, 0x17, ANSWER.length, at + 1]),
            message: ANSWER[at],
          },
        },
        (response) => say({ nth, command: response.command, status: response.command_status }),
      ),
    );
  });
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on('close', () => server.close());
  session.on('error', () => session.close());
});

server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
